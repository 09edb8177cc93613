"""The circuit breaker of an upstream: spares it while too many requests fail. Pure: times (monotonic) are arguments.

Closed, open for a while, then half open: a few probes go through, and close it if all of them are answered. A probe of
which nothing is heard (its client left) is replaced by another after as long as the circuit was open.
"""

from collections import deque
from math import inf
from typing import Final

from gateway.config.upstream_trouble import Breaker

_SLICES: Final = 10
"""In which `within` is counted."""


class Circuit:
    """The breaker of one upstream."""

    def __init__(self, settings: Breaker) -> None:
        self._settings = settings
        self._slices: deque[list[int]] = deque()
        """Number of the slice, requests, failures."""
        self.is_closed = True
        self._until = -inf
        """When the last time of being open ends, or ended. What was asked before says nothing of the time after."""
        self._more_at = -inf
        """When more probes may go through, whatever became of the others."""
        self._to_send = 0
        self._answered = 0

    def spared_for(self, now: float) -> float:
        """Return for how many seconds nothing goes through."""
        return 0 if self.is_closed else max(0, self._until - now)

    def wait(self, now: float) -> float:
        """Return 0 if a request may go through now, or after how many seconds it is worth another try."""
        if self.is_closed:
            return 0
        if now < self._until:
            return self._until - now
        if self._to_send == 0 and now >= self._more_at:
            self._to_send = self._settings.probes - self._answered
            self._more_at = now + self._settings.open
        if self._to_send == 0:
            return self._more_at - now
        self._to_send -= 1
        return 0

    def succeeded(self, asked_at: float, now: float) -> bool:
        """Return whether this closed the circuit."""
        if asked_at < self._until:
            return False
        if self.is_closed:
            self._count(now, failures=0)
            return False
        self._answered += 1
        if self._answered < self._settings.probes:
            return False
        self.is_closed = True
        self._slices.clear()
        return True

    def failed(self, asked_at: float, now: float) -> bool:
        """Return whether this opened the circuit, or opened it again."""
        if asked_at < self._until:
            return False
        if self.is_closed:
            self._count(now, failures=1)
            if not self._is_too_much():
                return False
        self.is_closed = False
        self._until = now + self._settings.open
        self._more_at = -inf
        self._to_send = self._answered = 0
        return True

    def _count(self, now: float, failures: int) -> None:
        number = int(now * _SLICES / self._settings.within)
        slices = self._slices
        while slices and slices[0][0] <= number - _SLICES:
            slices.popleft()
        if not slices or slices[-1][0] != number:
            slices.append([number, 0, 0])
        slices[-1][1] += 1
        slices[-1][2] += failures

    def _is_too_much(self) -> bool:
        requests = sum(each[1] for each in self._slices)
        failures = sum(each[2] for each in self._slices)
        return requests >= self._settings.requests and failures >= requests * self._settings.share
