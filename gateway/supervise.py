"""Background tasks that cannot die unnoticed.

A background task runs until it is stopped: one that raises or returns has failed. It is logged, counted and started
again, after a pause that doubles up to a minute; so is one that somebody else has cancelled. While an essential task is
down, readiness is off; it counts as up again when it has run for as long as it last paused. A supervised task that ends
in any other way (`SystemExit`, cancelled while it pauses) never comes back: liveness goes off.
"""

import asyncio
import time
import traceback
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any

from gateway.telemetry.health import Health
from gateway.telemetry.log import Log
from gateway.telemetry.metrics import Reading

Job = Callable[[], Coroutine[Any, Any, None]]

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
PATIENCE = 5.0
"""Seconds that `stop` waits for tasks to clean up."""


class Supervisor:
    """Owns the background tasks of one process."""

    def __init__(
        self,
        log: Log,
        health: Health,
        *,
        first_pause: float = FIRST_PAUSE,
        longest_pause: float = LONGEST_PAUSE,
        patience: float = PATIENCE,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._health = health
        self._first_pause = first_pause
        self._longest_pause = longest_pause
        self._patience = patience
        self._monotonic = monotonic
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._failures: Counter[str] = Counter()
        self._is_stopping = False
        self._owner: asyncio.Task[Any] | None = None

    def start(self, name: str, job: Job, *, essential: bool = False) -> None:
        """Run `job()` until `stop`, again and again if need be.

        `name` is a constant: it is a label. Raises ValueError for a second one.
        """
        if name in self._tasks:
            raise ValueError(f"a task named {name} runs already")
        self._failures[name] = 0
        self._owner = self._owner or asyncio.current_task()
        task = asyncio.create_task(self._keep_running(name, job, essential), name=name)
        task.add_done_callback(partial(self._ended, name))
        self._tasks[name] = task

    def keep(self, name: str, job: Job) -> None:
        """Run `job()` until `stop`, unless a task of this name runs already."""
        if name not in self._tasks:
            self.start(name, job)

    def stop_one(self, name: str) -> None:
        """Cancel a task that is not needed any more, if there is one of this name. The name is free at once."""
        task = self._tasks.pop(name, None)
        if task is not None:
            del self._failures[name]
            self._health.unblock(f"task {name}")
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
            task.cancel()

    async def stop(self) -> None:
        """Cancel all tasks and wait until they have cleaned up. One that does not is logged and left behind."""
        self._is_stopping = True
        for task in self._tasks.values():
            task.cancel()
        tasks = [*self._tasks.values(), *self._leaving]
        if tasks:
            await asyncio.wait(tasks, timeout=self._patience)
        for task in tasks:
            if not task.done():
                self._log.error("background_task_does_not_stop", task=task.get_name())

    def failures(self) -> Iterable[Reading]:
        """Read `gateway_background_failures_total`."""
        return [((name,), number) for name, number in self._failures.items()]

    async def _keep_running(self, name: str, job: Job, essential: bool) -> None:
        pause = self._first_pause
        blocker = f"task {name}"
        recovery: asyncio.TimerHandle | None = None
        while True:
            began = self._monotonic()
            failure = await self._failure_of(job)
            if recovery is not None:
                recovery.cancel()
            if self._monotonic() - began > self._longest_pause:
                pause = self._first_pause
            self._log.error("background_task_failed", task=name, restart_in_s=pause, traceback=failure)
            if asyncio.current_task() in self._leaving:
                return
            self._failures[name] += 1
            if self._is_stopping:
                return
            if essential:
                self._health.block(blocker)
            await asyncio.sleep(pause)
            recovery = asyncio.get_running_loop().call_later(pause, self._health.unblock, blocker)
            pause = min(pause * 2, self._longest_pause)

    async def _failure_of(self, job: Job) -> str:
        """Run a job and return why it ended, as text. Raises CancelledError only when the task is to end.

        A cancellation that nobody here has asked for is a failure like any other: something that was awaited was
        cancelled, or a time-out of a library had leaked.
        """
        try:
            await job()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or self._is_to_end(task):
                raise
            while task.cancelling():
                task.uncancel()
            return traceback.format_exc()
        except Exception:  # noqa: BLE001 - whatever it is, the task must go on
            return traceback.format_exc()
        return "it returned"

    def _is_to_end(self, task: asyncio.Task[object]) -> bool:
        """Say whether a task was told to stop, or the loop ends with the one who started it."""
        is_abandoned = self._owner is not None and self._owner.done()
        return self._is_stopping or task in self._leaving or is_abandoned

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if self._is_stopping or self._tasks.get(name) is not task:
            return
        self._failures[name] += 1
        self._log.error("background_task_died", task=name, error=repr(error) if error else "cancelled")
        self._health.give_up(f"task {name}")
