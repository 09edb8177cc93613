"""What a worker tells its parent, and is told by it."""

import asyncio
import json
import socket
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any

from gateway.app import Gateway
from gateway.model.told import Told
from gateway.telemetry.merging import Numbers, numbers_of, to_json
from gateway.workers.channel import Channel, Message
from gateway.workers.garbage import started
from gateway.workers.inheritance import Shares
from gateway.workers.signals import stopped_by_signals

_PATIENCE = 3.0
"""Seconds for an answer of all workers: longer than the parent waits for the last of them."""
HEARTBEAT = 1.0
"""Seconds between two signs of life."""


class Line:
    """The worker's end of the channel. Whoever makes it closes it."""

    def __init__(self, channel: Channel, gateway: Gateway, shares: Shares) -> None:
        self._channel = channel
        self._gateway = gateway
        self._shares = shares
        self._gathered: dict[int, asyncio.Future[Told]] = {}
        self._questions = count()
        self._tasks: set[asyncio.Task[None]] = set()
        self.is_cut = False
        """The parent is gone."""
        self._told_health = b""

    @classmethod
    async def opened(cls, sock: socket.socket, gateway: Gateway, shares: Shares) -> "Line":
        return cls(Channel(*await asyncio.open_unix_connection(sock=sock)), gateway, shares)

    async def keep_beating(self) -> None:
        """Give a sign of life every second, and tell at once what has changed."""
        while True:
            self.tell_health()
            for _ in range(10):
                await asyncio.sleep(HEARTBEAT / 10)
                if self._condition() != self._told_health:
                    self.tell_health()

    def tell_health(self) -> None:
        self._told_health = self._condition()
        self._channel.send("health", 0, self._told_health)

    def tell(self, word: str) -> None:
        self._channel.send(word)

    def tell_numbers(self, question: int = 0) -> None:
        """Tell what was counted. Before the start there is nothing, not even that no configuration is in force."""
        is_up = self._gateway.health.started().is_ok
        numbers = numbers_of(self._gateway.metrics.scrape()) if is_up else Numbers()
        self._channel.send("numbers", question, to_json(numbers))

    async def gather(self, question: bytes) -> Told:
        """Ask all workers, this one as well."""
        number = next(self._questions) % 0xFFFF
        told = self._gathered[number] = asyncio.get_running_loop().create_future()
        self._channel.send("ask", number, question)
        try:
            async with asyncio.timeout(_PATIENCE):
                answer: Told = await told
        except TimeoutError:
            return Told([], {})
        finally:
            del self._gathered[number]
        return answer

    async def _answer(self, message: Message) -> None:
        """Answer what another worker asks. Nobody waits for one that cannot."""
        answer = b"null"
        try:
            if (insight := self._gateway.administration.insight) is not None:
                answer = json.dumps(await insight.answer(message.content)).encode()
        except Exception as error:  # noqa: BLE001 - a bug must not end what listens here
            asyncio.get_running_loop().call_exception_handler({"message": "cannot answer", "exception": error})
        self._channel.send("answer", message.number, answer)

    def _begin(self, job: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(job)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _told(self, message: Message) -> None:
        told = self._gathered.get(message.number)
        if told is not None and not told.done():
            content = json.loads(message.content)
            told.set_result(Told(content["answers"], content["workers"]))

    async def keep_listening(
        self, drain: Callable[[], None], end: Callable[[], None], reload: Callable[[], None]
    ) -> None:
        """Do what the parent says, until it is gone: then drain."""
        orders = {"drain": drain, "end": end, "reload": reload}
        while (message := await self._channel.receive()) is not None:
            if message.word == "scrape":
                self.tell_numbers(message.number)
            elif message.word == "question":
                self._begin(self._answer(message))
            elif message.word == "told":
                self._told(message)
            elif message.word == "adopt":
                await self._adopt(message.number)
            elif message.word == "leave":
                await self._gateway.listeners.leave(message.number)
            elif message.word in orders:
                orders[message.word]()
        self.is_cut = True
        drain()

    async def adopt_all(self) -> None:
        """Take connections of all other workers, too: whoever is the last to close a socket empties its queue."""
        for number in self._shares.others:
            await self._adopt(number)

    async def _adopt(self, number: int) -> None:
        try:
            await self._gateway.listeners.adopt(number, self._shares.others.get(number, {}))
        except OSError as error:  # for want of files
            asyncio.get_running_loop().call_exception_handler({"message": "cannot stand in", "exception": error})

    async def close(self) -> None:
        """Leave the last numbers behind."""
        self.tell_numbers()
        await self._channel.close()

    def _condition(self) -> bytes:
        health, timeouts = self._gateway.health, self._gateway.snapshot.config.timeouts
        reasons = [health.ready().blocked_by, health.live().blocked_by]
        return json.dumps([*reasons, timeouts.drain, timeouts.drain_delay]).encode()


async def serve_for_parent(gateway: Gateway, channel: socket.socket, shares: Shares) -> None:
    """Serve until the parent says so or is gone, or a signal comes, then drain.

    The sockets that listen are closed as soon as nothing is taken from them any more: nobody shall wait in a queue
    that is only held open.
    """
    haste = gateway.haste
    stop = stopped_by_signals(haste)

    def drain() -> None:
        haste.skip_delay.set()  # the parent has waited
        stop.set()

    line = await Line.opened(channel, gateway, shares)
    gateway.administration.gather = line.gather
    tasks = [
        asyncio.create_task(line.keep_beating()),
        asyncio.create_task(line.keep_listening(drain, haste.end.set, gateway.reload_soon)),
        asyncio.create_task(_close_when(haste.closed, shares, line)),
    ]
    try:
        async with gateway:
            line.tell_health()
            line.tell("accepting")
            started()
            await stop.wait()
            if line.is_cut:
                await line.adopt_all()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await line.close()


async def _close_when(closed: asyncio.Event, shares: Shares, line: Line) -> None:
    await closed.wait()
    for sock in shares.all():
        sock.close()
    line.tell("closed")
