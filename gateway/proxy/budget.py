"""How many retries there may be. Pure: times (monotonic) are arguments.

A budget instead of a number of tries: when everything fails, retries cannot multiply the load.
"""

from typing import Final

from gateway.config.upstream_trouble import Retries

_BURST: Final = 10
"""Seconds' worth of `at_least` that can be saved up."""


class RetryBudget:
    """Retries earned by requests and by time, up to a burst."""

    def __init__(self, settings: Retries, now: float) -> None:
        self._settings = settings
        self.burst = max(1.0, settings.at_least * _BURST) if settings.budget or settings.at_least else 0.0
        self._left = self.burst
        self._at = now
        self._requests = 0
        self.refused = 0

    def take(self, requests: int, now: float) -> bool:
        """Take one retry, if there is one left. `requests` is how many requests there have been in all."""
        earned = (now - self._at) * self._settings.at_least + (requests - self._requests) * self._settings.budget
        self._at, self._requests = now, requests
        self._left = min(self.burst, self._left + earned)
        if self._left < 1:
            self.refused += 1
            return False
        self._left -= 1
        return True
