"""A gateway between raw sockets that serves a whole table of exchanges, one after the other."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

from tests.trips.running import Running, running
from tests.trips.wire import Cut, connected

T = TypeVar("T")

Play = Callable[["RawUpstream"], None]

PATIENCE = 20.0
"""Seconds until an exchange counts as stuck."""


class RawUpstream(asyncio.Protocol):
    """One connection of the upstream: keeps every byte, and hands them to whoever plays the upstream."""

    transport: asyncio.Transport

    def __init__(self, house: "House") -> None:
        self.house = house
        self.heard = b""
        self.answered = 0
        self.is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        self.is_open = True
        self.house.connections.append(self)

    def data_received(self, data: bytes) -> None:
        self.heard += data
        self.house.play(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False


class House:
    """What a table needs: the gateway, and all connections that it has opened to the upstream since the last row."""

    def __init__(self, play: Play) -> None:
        self.gateway: Running
        self.play = play
        self.connections: list[RawUpstream] = []

    def begin(self) -> None:
        """Forget what earlier rows did; their idle connections stay."""
        self.connections = [each for each in self.connections if each.is_open]
        for each in self.connections:
            each.heard, each.answered = b"", 0

    async def ask(self, *pieces: bytes, finish: bool = False) -> bytes:
        """Send pieces on a connection of its own, each in a segment, and return all that comes back."""
        async with asyncio.timeout(PATIENCE), connected(self.gateway.port) as client:
            for piece in pieces:
                client.writer.write(piece)
                with contextlib.suppress(ConnectionError):
                    await client.writer.drain()
                await asyncio.sleep(0)
            if finish:
                client.finish()
            try:
                return await client.rest()
            except Cut as cut:
                return cut.partial

    async def settle(self) -> None:
        """Wait until nothing is under way any more, on either side of the gateway."""
        async with asyncio.timeout(PATIENCE):
            while not self._is_settled():
                await asyncio.sleep(0.001)

    def _is_settled(self) -> bool:
        pool = self.gateway.pool()
        is_open = sum(each.is_open for each in self.connections)
        return not self.gateway.gateway.plane.connections and not pool["busy"] and pool["idle"] == is_open


@asynccontextmanager
async def open_house(directory: Path, play: Play, text: str = "") -> AsyncIterator[House]:
    """Run a gateway in front of a raw upstream that `play` plays: it is called for every piece that comes."""
    house = House(play)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: RawUpstream(house), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with running(directory, text, f"http://127.0.0.1:{port}") as gateway:
        house.gateway = gateway
        yield house
    server.close()
    for each in house.connections:
        if each.is_open:
            each.transport.abort()
    await server.wait_closed()


class Opened:
    """A house that stays open between tests that are not coroutines, on an event loop of its own."""

    def __init__(self, runner: asyncio.Runner, house: House) -> None:
        self._runner = runner
        self.house = house
        self.failures: list[dict[str, Any]] = []
        runner.get_loop().set_exception_handler(lambda _, context: self.failures.append(context))

    def run(self, trip: Coroutine[Any, Any, T]) -> T:
        """Run a trip. An exception that reached the event loop meanwhile fails it."""
        self.failures.clear()
        try:
            return self._runner.run(trip)
        finally:
            assert not self.failures


@contextmanager
def opened_house(runner: asyncio.Runner, directory: Path, play: Play, text: str = "") -> Iterator[Opened]:
    """Keep a house open on the loop of a runner."""
    trip = open_house(directory, play, text)
    house = runner.run(trip.__aenter__())
    yield Opened(runner, house)
    runner.run(trip.__aexit__(None, None, None))
