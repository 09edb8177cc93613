"""One coarse clock for all connections, instead of a timer per request.

Four times a second it looks at every watched connection and calls `deadline_passed` where `deadline` (monotonic time,
`inf` for none) is over. Moving a deadline is one assignment.
"""

import asyncio
from time import monotonic
from typing import Final, Protocol

TICK: Final = 0.25
"""Seconds between two looks: the precision of every time-out."""


class Watched(Protocol):
    deadline: float

    def deadline_passed(self, now: float) -> None: ...


class Deadlines:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._watched: set[Watched] = set()
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, connection: Watched) -> None:
        self._watched.add(connection)

    def forget(self, connection: Watched) -> None:
        self._watched.discard(connection)

    def start(self) -> None:
        self._timer = self._loop.call_later(TICK, self._tick)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        self._timer = self._loop.call_later(TICK, self._tick)
        self._loop.call_soon(self._look)  # what was read before comes first: it was in time

    def _look(self) -> None:
        now = monotonic()
        for connection in [watched for watched in self._watched if watched.deadline <= now]:
            try:
                connection.deadline_passed(now)
            except Exception as error:  # noqa: BLE001 - a bug in one must not keep the others waiting
                self._loop.call_exception_handler({"message": "deadline_passed failed", "exception": error})
