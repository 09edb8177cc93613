"""A relay before something that a gateway depends on. It can be made to fail like what is behind it might."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread
from typing import Any, Literal

Fault = Literal["gone", "frozen", "slow", "cut"]

SLOWLY = 0.1
"""Seconds that each piece of an answer takes longer when it is slow."""


class FaultyRelay:
    """Passes bytes on to a port of this host; belongs to the thread of `relay_running`.

    `gone`: nobody listens, and connections are reset. `frozen`: connections are taken, and nothing passes. `slow`:
    every piece of an answer is late. `cut`: of every answer only the first half of the first piece arrives.
    """

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._fault: Fault | None = None
        self._server: asyncio.Server | None = None
        self._passing = asyncio.Event()
        self._passing.set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def set(self, fault: Fault | None) -> None:
        """Fail from now on, or work again."""
        before, self._fault = self._fault, fault
        if fault == "frozen":
            self._passing.clear()
        else:
            self._passing.set()
        if fault == "gone":
            await self.stop()
        elif before == "gone":
            await self.listen()

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in set(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with suppress(OSError):
            try:
                there, back = await asyncio.open_connection("127.0.0.1", self._target)
                self._writers.add(back)
                try:
                    await asyncio.gather(self._ask(reader, back), self._answer(there, writer))
                finally:
                    self._writers.discard(back)
                    back.transport.abort()
            finally:
                self._writers.discard(writer)
                writer.transport.abort()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            await self._passing.wait()
            writer.write(data)
            await writer.drain()
        writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            await self._passing.wait()
            if self._fault == "slow":
                await asyncio.sleep(SLOWLY)
            if self._fault == "cut":
                writer.write(data[: len(data) // 2])
                await writer.drain()
                break
            writer.write(data)
            await writer.drain()
        writer.close()


class Faults:
    """What a test does to a relay that runs in another thread."""

    def __init__(self, relay: FaultyRelay, loop: asyncio.AbstractEventLoop) -> None:
        self._relay = relay
        self._loop = loop
        self.port = relay.port

    @contextmanager
    def of(self, fault: Fault) -> Iterator[None]:
        """Fail for a while."""
        self._set(fault)
        try:
            yield
        finally:
            self._set(None)

    def _set(self, fault: Fault | None) -> None:
        asyncio.run_coroutine_threadsafe(self._relay.set(fault), self._loop).result(10)


@contextmanager
def relays_running(*targets: int) -> Iterator[list[Faults]]:
    """Run a relay before each of these ports, in a thread."""
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(_say_nothing)
    thread = Thread(target=loop.run_forever)
    thread.start()

    async def start() -> list[FaultyRelay]:
        relays = [FaultyRelay(target) for target in targets]
        for relay in relays:
            await relay.listen()
        return relays

    async def stop() -> None:
        for relay in relays:
            await relay.stop()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    relays = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    try:
        yield [Faults(relay, loop) for relay in relays]
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _say_nothing(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Connections are broken on purpose."""
