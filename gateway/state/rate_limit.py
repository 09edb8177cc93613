"""A rate limit: how many requests, in what time, counted for whom."""

from dataclasses import dataclass
from typing import Literal

By = Literal["client_address", "subject", "client_id"]


@dataclass(frozen=True, slots=True, eq=False)
class RateLimit:
    """`requests` in `per` seconds, evenly; after a pause, `burst` at once. `is_shared` with other processes.

    `name` is the same for the same limit of the same route, now and after a reload.
    """

    name: str
    by: By
    requests: int
    per: float
    burst: int
    is_shared: bool = False
    interval: float = 0
    """Seconds that one request takes up. Follows from the others, as does `most`."""
    most: float = 0
    """With more seconds than this taken up, the next request is refused."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "interval", self.per / self.requests)
        object.__setattr__(self, "most", (self.burst - 1) * self.interval)

    def __str__(self) -> str:
        return f"{self.requests} in {self.per:g} s by {self.by}, {self.burst} at once"
