"""What the data plane counts, as plain numbers that cost nanoseconds to add to.

A tally is written and read by one thread, the event loop's: there is no lock. `metrics` exposes them.
"""

from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

METHODS: Final[tuple[str, ...]] = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other")
"""The label values of `method`: what a client may invent is "other"."""

STATUSES: Final[tuple[str, ...]] = ("1xx", "2xx", "3xx", "4xx", "5xx", "499")
"""The label values of `status`. 499: the client went away before it had the whole answer."""

BUCKETS: Final[tuple[float, ...]] = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    10.0,
    60.0,
)
"""Upper bounds in seconds. From 100 µs, because what the gateway adds is a fraction of a millisecond, to 60 s,
where time-outs end most requests. Three steps to a decade keep a quantile within a factor of two; above 2.5 s only
"slow" and "timed out" are told apart, since each bucket is one more time series for every route."""

_METHOD_COLUMN: Final = {method: column * len(STATUSES) for column, method in enumerate(METHODS)}
_OTHER_METHOD: Final = _METHOD_COLUMN["other"]
_STATUS_ROW: Final = {status: status // 100 - 1 for status in range(100, 600)} | {499: STATUSES.index("499")}
_INVALID_STATUS: Final = STATUSES.index("5xx")
"""RFC 9110 §15: a status code outside 100..599 is treated as a 5xx."""

# The counts of a route: those of methods and statuses; then, for each bucket, of each kind of duration.
_FIRST_BUCKET: Final = len(METHODS) * len(STATUSES)
_KINDS: Final = 3
_LENGTH: Final = _FIRST_BUCKET + _KINDS * (len(BUCKETS) + 1)


class DurationTally:
    """A histogram of seconds. `bounds` are the upper bounds of its buckets."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...] = BUCKETS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration; one that equals a bound is within it."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds


class RouteTally:
    """What happened on one route. Bytes are those of bodies and tunnels, without heads.

    All counts are in one list, and those that one request adds to lie side by side: with many routes, a request costs
    what has to be fetched from memory for it. There is no list before the first request.
    """

    __slots__ = ("_added", "_allowed", "_counts", "_others", "_total", "_upstream", "request_bytes", "response_bytes")

    def __init__(self) -> None:
        self._allowed = 0
        self._others: dict[str, int] = {}
        self._total = 0.0
        self._added = 0.0
        self._upstream = 0.0
        self.request_bytes = 0
        self.response_bytes = 0
        self._counts: list[int] = []

    @property
    def is_used(self) -> bool:
        """Whether there was a request."""
        return bool(self._counts)

    def record(
        self,
        method: str,
        status: int,
        reason: str,
        total: float,
        added: float | None = None,
        upstream: float | None = None,
        request_bytes: int = 0,
        response_bytes: int = 0,
    ) -> None:
        """Count one finished request.

        `reason` is "allow", "preflight" or the refusal's. Durations are seconds; `added` and `upstream` are None
        when the request never got so far. A tunnel or a long stream may add to `request_bytes` and `response_bytes`
        by itself as it goes.
        """
        counts = self._counts
        if not counts:
            counts = self._counts = [0] * _LENGTH
        counts[_METHOD_COLUMN.get(method, _OTHER_METHOD) + _STATUS_ROW.get(status, _INVALID_STATUS)] += 1
        if reason == "allow":
            self._allowed += 1
        else:
            self._others[reason] = self._others.get(reason, 0) + 1
        counts[_FIRST_BUCKET + bisect_left(BUCKETS, total) * _KINDS] += 1
        self._total += total
        if added is not None:
            counts[_FIRST_BUCKET + bisect_left(BUCKETS, added) * _KINDS + 1] += 1
            self._added += added
        if upstream is not None:
            counts[_FIRST_BUCKET + bisect_left(BUCKETS, upstream) * _KINDS + 2] += 1
            self._upstream += upstream
        self.request_bytes += request_bytes
        self.response_bytes += response_bytes

    def include(self, other: "RouteTally") -> None:
        """Add what another one has counted."""
        if other._counts:
            ours = self._counts or [0] * _LENGTH
            self._counts = [mine + yours for mine, yours in zip(ours, other._counts, strict=True)]
        for reason, number in other.decisions():
            if reason == "allow":
                self._allowed += number
            else:
                self._others[reason] = self._others.get(reason, 0) + number
        self._total += other._total
        self._added += other._added
        self._upstream += other._upstream
        self.request_bytes += other.request_bytes
        self.response_bytes += other.response_bytes

    @property
    def total(self) -> DurationTally:
        """How long requests took in all, up to now."""
        return self._durations(0, self._total)

    @property
    def added(self) -> DurationTally:
        """How long of that the gateway took, up to now."""
        return self._durations(1, self._added)

    @property
    def upstream(self) -> DurationTally:
        """How long of that the upstream took, up to now."""
        return self._durations(2, self._upstream)

    def requests(self) -> Iterator[tuple[str, str, int]]:
        """Yield method, status class and number, where there is one."""
        for index, count in enumerate(self._counts[:_FIRST_BUCKET]):
            if count:
                column, row = divmod(index, len(STATUSES))
                yield METHODS[column], STATUSES[row], count

    def decisions(self) -> Iterator[tuple[str, int]]:
        """Yield reason and number, where there is one."""
        if self._allowed:
            yield "allow", self._allowed
        yield from self._others.items()

    def _durations(self, kind: int, seconds: float) -> DurationTally:
        durations = DurationTally()
        if self._counts:
            durations.counts = self._counts[_FIRST_BUCKET + kind :: _KINDS]
            durations.sum = seconds
        return durations
