"""When the store was out of reach, and from when on a revocation must therefore be known everywhere."""

import math
from dataclasses import dataclass, field
from typing import Final

BOUND: Final = 2.0
"""Seconds after which a revocation is known everywhere, while the store is reachable."""


@dataclass(slots=True)
class Outages:
    """Times are monotonic. `max_staleness` is that of the routes, which are closed when it is exceeded."""

    max_staleness: float
    spans: list[tuple[float, float]] = field(default_factory=list)
    """From when to when the store was out of reach; infinity while it is."""

    def begin(self, now: float) -> None:
        """Note that the store is gone."""
        self.spans.append((now, math.inf))

    def end(self, now: float) -> float:
        """Note that it is back; return for how long it was gone."""
        since, _ = self.spans.pop()
        self.spans.append((since, now))
        return now - since

    def known_from(self, answered_at: float) -> float:
        """Return when a revocation must be known everywhere that was answered as done at this time."""
        since = answered_at
        for gone, back in self.spans:
            if gone - since >= BOUND:
                break
            since = max(since, back)
        return min(since + BOUND, answered_at + self.max_staleness)
