"""One worker process, as its parent sees it."""

import asyncio
import json
import signal
import socket
from asyncio.subprocess import Process
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Final, Self

from gateway.telemetry.merging import Numbers, from_json
from gateway.workers.bequest import shelf_arguments, socket_arguments
from gateway.workers.channel import Channel, Message
from gateway.workers.plan import Plan, interpreter

ENDS: Final = ("drained", "failed", "killed", "frozen")
"""How one may end: the label values of `how`."""

_LAST_NEWS = 1.0
"""Seconds to read what a process said before it ended."""
_SILENCE = 5.0
"""Seconds without a heartbeat, after which a worker does not count as ready."""


class WorkerProcess:
    """Make one with `spawned`."""

    def __init__(
        self,
        slot: int,
        process: Process,
        channel: Channel,
        take: Callable[["WorkerProcess", Numbers], None],
        asks: Callable[["WorkerProcess", int, bytes], None],
    ) -> None:
        """`take` gets its numbers, `asks` its questions to all workers."""
        self.slot = slot
        self.pid = process.pid
        self.heard_at = monotonic()
        self.has_spoken = False
        self.accepting = asyncio.Event()
        """It takes connections."""
        self.closed = asyncio.Event()
        """It takes none any more."""
        self.ended = asyncio.Event()
        self.status: int | None = None
        self.is_draining = False
        self.is_frozen = False
        self.blocked_by: list[str] = ["starting"]
        """Why it is not ready."""
        self.fatal: list[str] = []
        """Why only a restart can help."""
        self.drain_time = 0.0
        self.drain_delay = 0.0
        """`timeouts.drain` and `timeouts.drain_delay` of the configuration that it has."""
        self._process = process
        self._channel = channel
        self._take = take
        self._asks = asks
        self._answers: dict[int, asyncio.Future[bytes | None]] = {}
        self._asked: dict[int, asyncio.Event] = {}
        self._task = asyncio.create_task(self._run())

    @classmethod
    async def spawned(
        cls,
        plan: Plan,
        slot: int,
        patience: float,
        take: Callable[["WorkerProcess", Numbers], None],
        asks: Callable[["WorkerProcess", int, bytes], None],
        *,
        replaces: bool,
        shelf: Sequence[int] = (),
    ) -> Self:
        """Start a worker. For `patience` seconds it may wait for what blocks its readiness. One that `replaces` another
        logs why it cannot start. Raises OSError."""
        ours, its = socket.socketpair()
        try:
            words = ["worker", plan.config, "--number", str(slot), "--channel", str(its.fileno())]
            if replaces:
                words += ["--tell", plan.log_format]
            process = await asyncio.create_subprocess_exec(
                *interpreter(),
                *words,
                *("--patience", str(patience)),
                *socket_arguments(plan.slots),
                *shelf_arguments(shelf),
                pass_fds=(its.fileno(), *plan.served(), *shelf),
                process_group=0,  # Ctrl-C and Ctrl-Z are for the parent
            )
        except BaseException:
            ours.close()
            raise
        finally:
            its.close()
        return cls(slot, process, Channel(*await asyncio.open_unix_connection(sock=ours)), take, asks)

    @property
    def is_ready(self) -> bool:
        return self.is_serving and not self.blocked_by

    @property
    def is_over(self) -> bool:
        return self.ended.is_set()

    @property
    def is_heard(self) -> bool:
        return monotonic() - self.heard_at < _SILENCE

    @property
    def is_serving(self) -> bool:
        """Whether it takes connections, as far as one knows. It may have nothing good to say to them."""
        takes_none = self.is_draining or self.closed.is_set() or self.is_over
        return self.is_heard and self.accepting.is_set() and not takes_none

    def send(self, word: str, number: int = 0, content: bytes = b"") -> None:
        if not self.is_over:
            self._channel.send(word, number, content)

    def drain(self) -> None:
        """Let it take no more connections, finish, and end."""
        self.is_draining = True
        self.send("drain")

    def kill(self) -> None:
        if not self.is_over:
            with suppress(ProcessLookupError):
                self._process.kill()

    async def scrape(self, question: int) -> None:
        """Wait until it has told its numbers once more, or has ended. One that is still starting has none."""
        if self.is_over or not self.accepting.is_set():
            return
        answered = self._asked[question] = asyncio.Event()
        self._channel.send("scrape", question)
        try:
            await answered.wait()
        finally:
            del self._asked[question]

    async def ask(self, number: int, question: bytes) -> bytes | None:
        """Return what it says to a question; None if it takes no connections, is not heard of, or ends instead."""
        if not self.accepting.is_set() or self.is_over or not self.is_heard:
            return None
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        self._channel.send("question", number, question)
        try:
            content: bytes | None = await answer
        finally:
            del self._answers[number]
        return content

    def how_it_ended(self) -> str:
        """Return one of ENDS."""
        if self.is_frozen:
            return "frozen"
        if self.status is not None and self.status < 0:
            return "killed"
        return "drained" if self.status == 0 else "failed"

    def signal_name(self) -> str | None:
        """Return the signal that ended it."""
        return signal.Signals(-self.status).name if self.status is not None and self.status < 0 else None

    async def _run(self) -> None:
        listening = asyncio.create_task(self._listen())
        self.status = await self._process.wait()
        await asyncio.wait([listening], timeout=_LAST_NEWS)
        listening.cancel()
        await self._channel.close()
        for event in (self.ended, self.closed, *self._asked.values()):
            event.set()
        for number in list(self._answers):
            self._answered(number, None)

    async def _listen(self) -> None:
        while (message := await self._channel.receive()) is not None:
            self.heard_at = monotonic()
            self.has_spoken = True
            self._understand(message)

    def _understand(self, message: Message) -> None:
        match message.word:
            case "health":
                self.blocked_by, self.fatal, self.drain_time, self.drain_delay = json.loads(message.content)
            case "accepting":
                self.accepting.set()
            case "closed":
                self.closed.set()
            case "numbers":
                self._take(self, from_json(message.content))
                if (answered := self._asked.get(message.number)) is not None:
                    answered.set()
            case "ask":
                self._asks(self, message.number, message.content)
            case "answer":
                self._answered(message.number, message.content)
            case _:
                pass  # a newer worker than its parent

    def _answered(self, number: int, content: bytes | None) -> None:
        answer = self._answers.get(number)
        if answer is not None and not answer.done():
            answer.set_result(content)
