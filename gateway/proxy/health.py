"""Active health checks: each target is asked in its turn, and some answers in a row change what is thought of it.

They run on connections of their own, beside the pool, and no request ever waits for one. Watched by the coarse clock,
which starts those that are due, at most one for each target at a time.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from math import inf
from time import monotonic
from typing import Final

from gateway.config.upstream_trouble import Health
from gateway.proxy.deadlines import Deadlines
from gateway.proxy.probe import RESULTS
from gateway.proxy.targets import PooledTarget

Check = Callable[[PooledTarget], Awaitable[str]]
"""Asks a target, and returns one of RESULTS."""
Changed = Callable[[PooledTarget, str, bool], None]
"""Is told of another verdict: the target, the result of its last check, whether it is healthy."""

_JITTER: Final = 0.2
_CHOICE: Final = random.Random()  # noqa: S311 - only so that not all gateways ask at the same time


class Verdict:
    """What is thought of a target. It counts as healthy until its checks have said otherwise."""

    def __init__(self, settings: Health) -> None:
        self._settings = settings
        self.is_healthy = True
        self._row = 0
        """Results in a row that speak against the verdict."""

    def hear(self, *, is_good: bool) -> bool:
        """Return whether this result changed the verdict."""
        if is_good is self.is_healthy:
            self._row = 0
            return False
        self._row += 1
        if self._row < (self._settings.successes if is_good else self._settings.failures):
            return False
        self._row = 0
        self.is_healthy = is_good
        return True


class HealthChecks:
    """Of one upstream."""

    def __init__(
        self,
        settings: Health,
        targets: tuple[PooledTarget, ...],
        deadlines: Deadlines,
        loop: asyncio.AbstractEventLoop,
        check: Check,
        changed: Changed,
    ) -> None:
        self.deadline = -inf
        self.results = dict.fromkeys(RESULTS, 0)
        self._settings = settings
        self._deadlines = deadlines
        self._loop = loop
        self._check = check
        self._changed = changed
        self._verdicts = {target: Verdict(settings) for target in targets}
        self._due = dict.fromkeys(targets, -inf)
        self._running: set[asyncio.Task[None]] = set()
        deadlines.watch(self)

    def deadline_passed(self, now: float) -> None:
        """Start the checks that are due."""
        for target, due in self._due.items():
            if due <= now:
                self._due[target] = inf
                task = self._loop.create_task(self._look_at(target))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
        self.deadline = min(self._due.values())

    def close(self) -> None:
        """Stop them."""
        self._deadlines.forget(self)
        for task in self._running:
            task.cancel()

    async def _look_at(self, target: PooledTarget) -> None:
        result = "failed"
        try:
            result = await self._check(target)
        finally:
            pause = self._settings.interval * _CHOICE.uniform(1 - _JITTER, 1 + _JITTER)
            self._due[target] = monotonic() + pause
            self.deadline = min(self.deadline, self._due[target])
        self.results[result] += 1
        if self._verdicts[target].hear(is_good=result == "ok"):
            self._changed(target, result, self._verdicts[target].is_healthy)
