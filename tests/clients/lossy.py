"""A Redis whose answers get lost on the way: a relay for one gateway, that takes away the reply to a commit."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.state.redis_scripts import COMMIT

_COMMIT = COMMIT.digest.encode()
"""What every call of that script has in it."""


class LossyRelay:
    """Passes everything on, but the reply to the commit that comes after `lose` or `hold`."""

    def __init__(self, redis_port: int) -> None:
        self.port = 0
        self.taken = asyncio.Event()
        """Redis has done the commit, and its reply was taken away."""
        self._redis_port = redis_port
        self._is_held = False
        self._is_armed = False
        self._connections: set[asyncio.Task[None]] = set()

    def lose(self) -> None:
        """Cut the connection in place of the reply to the next commit."""
        self._is_armed = True

    def hold(self) -> None:
        """Take the reply to the next commit away, and say nothing."""
        self._is_armed = self._is_held = True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Relay one connection, until either end has had enough."""
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        from_redis, to_redis = await asyncio.open_connection("127.0.0.1", self._redis_port)
        connection = _Connection(self)
        there = asyncio.create_task(connection.ask(reader, to_redis))
        back = asyncio.create_task(connection.answer(from_redis, writer))
        try:
            await asyncio.wait([there, back], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            pass  # the test is over
        finally:
            for pump in (there, back):
                pump.cancel()
            await asyncio.gather(there, back, return_exceptions=True)
            to_redis.close()
            writer.close()
            self._connections.discard(task)

    async def stop(self) -> None:
        connections = set(self._connections)
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    def is_commit(self, data: bytes) -> bool:
        """Say whether the reply to this shall be taken, and take no other."""
        is_taken = self._is_armed and _COMMIT in data
        self._is_armed = self._is_armed and not is_taken
        return is_taken

    async def take(self) -> None:
        """Return when the connection is to be cut."""
        self.taken.set()
        if self._is_held:
            await asyncio.Event().wait()


class _Connection:
    def __init__(self, relay: LossyRelay) -> None:
        self._relay = relay
        self._is_doomed = False

    async def ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(2**20):
            self._is_doomed = self._is_doomed or self._relay.is_commit(data)
            writer.write(data)
            await writer.drain()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(2**20):
            if self._is_doomed:
                await self._relay.take()
                return
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def lossy_relay(redis_port: int) -> AsyncIterator[LossyRelay]:
    """Run a relay to a Redis on loopback."""
    relay = LossyRelay(redis_port)
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0, limit=2**20)
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        server.close()
        await relay.stop()
