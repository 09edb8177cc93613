"""The contract of what adds up the counts of rate limits over all processes.

Each process tells what it let pass, and hears how much is taken up in all. Counts are amounts of time, as in RateTable:
a request takes up its limit's interval, and time drains it. Telling is safe under a lost reply: nothing counts twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Passed:
    """What one process let pass under one count, in seconds.

    `mark` names the count: 16 bytes that are the same in all processes. `added` is taken up by requests of which the
    first passed `age` ago; `least` is what this process knows to be taken up: more than that the count may have lost.
    `most` is kept at most, whatever becomes of the clock.
    """

    mark: bytes
    age: float
    added: float
    least: float
    most: float


class RateCounts(Protocol):
    async def add(self, passed: Sequence[Passed]) -> list[float]:
        """Add to each count, and return how many seconds of it are taken up: less than none if it drained before.

        Raises StoreUnavailable or BadStore; then some may have been added.
        """
