"""What was measured, and how it compares."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from statistics import median
from typing import Self

from bench.load import Latencies
from bench.measure import Sample
from bench.processes import BenchError, MissingProgram
from bench.rows import Case, Row


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of several rounds, and what lay furthest from it."""

    low: float
    middle: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self | None:
        """Return that of some values; None if there are none."""
        found = sorted(values)
        return cls(found[0], median(found), found[-1]) if found else None


@dataclass(slots=True)
class Measured:
    """What is known about a case so far, by the number of the round."""

    samples: dict[int, Sample] = field(default_factory=dict)
    failure: BenchError | None = None

    @property
    def errors(self) -> int:
        """How many requests of all rounds went wrong."""
        return sum(sample.errors for sample in self.samples.values())

    @property
    def is_missing(self) -> bool:
        """Whether it could not be measured, which says nothing about it."""
        return isinstance(self.failure, MissingProgram)

    @property
    def is_right(self) -> bool:
        """Whether its numbers may be used."""
        return self.failure is None and self.errors == 0 and bool(self.samples)

    def spread(self, value: Callable[[Sample], float]) -> Spread | None:
        """Return what the rounds gave."""
        return Spread.of(map(value, self.samples.values())) if self.is_right else None


@dataclass(frozen=True, slots=True)
class RowResult:
    """A row with what was measured of each of its cases."""

    row: Row
    measured: dict[Case, Measured]

    def ratio(self, mine: Case, base: Case, value: Callable[[Sample], float] = lambda it: it.cpu_us) -> Spread | None:
        """Return the ratio of two cases, formed within each round: the machine's own speed drifts between rounds."""
        one, other = self.measured.get(mine), self.measured.get(base)
        if one is None or other is None or not (one.is_right and other.is_right):
            return None
        both = one.samples.keys() & other.samples.keys()
        return Spread.of(value(one.samples[number]) / value(other.samples[number]) for number in both)


@dataclass(slots=True)
class Steady:
    """Latencies at a constant rate. The rate is half of what was reached at most; `direct` is without a contender."""

    name: str
    rate: float
    rounds: list[Latencies] = field(default_factory=list)
    failure: BenchError | None = None

    def spread(self, value: Callable[[Latencies], float]) -> Spread | None:
        """Return what the rounds gave."""
        return Spread.of(map(value, self.rounds)) if self.failure is None else None


@dataclass(frozen=True, slots=True)
class IdleMemory:
    """What a process takes before and while it holds so many idle connections."""

    name: str
    connections: int
    before_mib: float
    holding_mib: float

    @property
    def kib_each(self) -> float:
        """Memory of one connection."""
        return (self.holding_mib - self.before_mib) * 1024 / self.connections


@dataclass(frozen=True, slots=True)
class Exchange:
    """CPU time of the gateway for a refresh exchange on Redis and for a proxied request, in microseconds."""

    exchange_us: float
    request_us: float
    ratio: Spread
    """How many times the one in the other, round by round."""


@dataclass(slots=True)
class Results:
    """Everything of one run."""

    facts: dict[str, object]
    rows: dict[str, RowResult] = field(default_factory=dict)
    latencies: dict[str, Steady] = field(default_factory=dict)
    idle: list[IdleMemory] = field(default_factory=list)
    exchange: Exchange | None = None
    failures: dict[str, BenchError] = field(default_factory=dict)
    """Why a part could not be measured, by its name."""

    @property
    def others(self) -> float:
        """How much of the contenders' core anything else had, in the median measurement."""
        samples = (it for row in self.rows.values() for each in row.measured.values() for it in each.samples.values())
        found = Spread.of(sample.others for sample in samples)
        return 0.0 if found is None else found.middle

    @property
    def is_wrong(self) -> bool:
        """Whether somebody gave wrong answers, or failed for another reason than that it is not installed."""
        measured = [each for row in self.rows.values() for each in row.measured.values()]
        others = [*self.failures.values(), *(each.failure for each in self.latencies.values() if each.failure)]
        return any(not each.is_right and not each.is_missing for each in measured) or any(
            not isinstance(failure, MissingProgram) for failure in others
        )
