"""Connections that were closed at a limit without being a request: counted, and told of without flooding the log."""

from collections.abc import Callable
from enum import StrEnum
from math import inf
from time import monotonic
from typing import Final

INTERVAL: Final = 10.0
"""Seconds between two reports. The first is made at once."""


class Cut(StrEnum):
    """Why a connection was closed. The values are a label of metrics."""

    SILENT = "silent"
    """Not one byte within `timeouts.open`."""
    HANDSHAKE = "handshake"
    """No TLS within `timeouts.open`."""
    CROWDED_OUT = "crowded_out"
    """It waited, and another needed its place."""
    REFUSED = "refused"
    """It came when there were so many that not even a refusal could be afforded."""
    SLOW_REST = "slow_rest"
    """What was left of a refused request was too slow, or too much."""
    SLOW_READER = "slow_reader"
    """It did not take an answer that was complete."""


class Cuts:
    """What happened since the start, by reason. `tell` hears how many there were since it heard the last time."""

    def __init__(self, tell: Callable[[str, int], None]) -> None:
        self.deadline = inf
        self.counts: dict[str, int] = dict.fromkeys(Cut, 0)
        self._told: dict[str, int] = dict(self.counts)
        self._tell = tell

    def add(self, reason: Cut) -> None:
        self.counts[reason] += 1
        if self.deadline == inf:
            self.deadline_passed(monotonic())

    def deadline_passed(self, now: float) -> None:
        """Tell of what is new; if there was anything, look again later."""
        new = {reason: count - self._told[reason] for reason, count in self.counts.items()}
        self._told = dict(self.counts)
        for reason, count in new.items():
            if count:
                self._tell(str(reason), count)
        self.deadline = now + INTERVAL if any(new.values()) else inf
