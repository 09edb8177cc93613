"""The targets, and whether a run has reached them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bench import contenders as who
from bench.measure import Sample
from bench.results import Results, Spread
from bench.rows import CONTENDERS, Case
from bench.stage import DIRECT

Find = Callable[[Results], Spread | None]


@dataclass(frozen=True, slots=True)
class Target:
    """What a measure must be: at most the bound, or at least."""

    measure: str
    bound: float
    find: Find
    is_least: bool = False
    unit: str = ""

    @property
    def words(self) -> str:
        """The target in words."""
        return f"at {'least' if self.is_least else 'most'} {self.bound:g}{self.unit}"

    def is_reached(self, found: Spread) -> bool:
        """Say whether the median is within the bound."""
        return found.middle >= self.bound if self.is_least else found.middle <= self.bound


def _against(contender: who.Contender) -> Find:
    return lambda results: _ratio(results, CONTENDERS, Case(who.GATEWAY), Case(contender))


def _naive(results: Results) -> Spread | None:
    return _ratio(results, CONTENDERS, Case(who.NAIVE), Case(who.GATEWAY))


def _row(key: str, other: int = 0, value: Callable[[Sample], float] = lambda it: it.cpu_us) -> Find:
    """Return the ratio of a row's case to another one."""

    def find(results: Results) -> Spread | None:
        row = results.rows.get(key)
        return None if row is None else row.ratio(row.row.case, row.row.others[other][1], value)

    return find


def _ratio(results: Results, key: str, mine: Case, base: Case) -> Spread | None:
    row = results.rows.get(key)
    return None if row is None else row.ratio(mine, base)


def added_p99(results: Results) -> Spread | None:
    """Return what the gateway adds to the p99 of the upstream itself at the same rate, in milliseconds."""
    direct, through = results.latencies.get(DIRECT), results.latencies.get(who.GATEWAY.name)
    if direct is None or through is None or direct.failure or through.failure:
        return None
    both = zip(through.rounds, direct.rounds, strict=False)
    return Spread.of(mine.p99_ms - its.p99_ms for mine, its in both)


def _exchange(results: Results) -> Spread | None:
    return None if results.exchange is None else results.exchange.ratio


TARGETS: Final = (
    Target("CPU of the naive aiohttp proxy, in that of the gateway", 11, _naive, is_least=True),
    Target("CPU against HAProxy with `jwt_verify` RS256", 0.75, _against(who.HAPROXY)),
    Target("CPU against Envoy with `jwt_authn`, its token cache on", 0.5, _against(who.ENVOY)),
    Target("CPU against nginx as a plain proxy, which checks nothing", 2.75, _against(who.NGINX)),
    Target("latency added at half of saturation, p99", 1, added_p99, unit=" ms"),
    Target("CPU with 10,000 routes against 10", 1.05, _row("routes")),
    Target("CPU with 1 million revocations against none", 1.05, _row("revocations")),
    Target("CPU with the console open and its ring full", 1.03, _row("console")),
    Target("CPU of a first-seen RS256 token against a known one", 4, _row("new")),
    Target("throughput of 1 MiB answers against nginx", 0.6, _row("1m", 1, lambda it: it.rate), is_least=True),
    Target("CPU per request with two workers against one", 1.1, _row("workers")),
    Target("CPU of an exchange on Redis against a proxied request", 12, _exchange),
)
