"""What a gateway says of itself at one time; and how much happened between two times."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from gateway.commands.asking.client import AdminClient

_ROUTES = "50"
"""Those with most refusals: more than are shown."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The answers of the admin API, as they came."""

    me: Mapping[str, Any]
    counters: Mapping[str, Any]
    upstreams: Sequence[Mapping[str, Any]]
    routes: Mapping[str, Mapping[str, Any]]


async def take_sample(client: AdminClient) -> Sample:
    """Ask for everything that is shown. Raises NoAnswer or NotLetIn."""
    me = await client.ask("/me")
    routes = (await client.ask("/refusing-routes", parameters={"limit": _ROUTES}))["routes"]
    upstreams = (await client.ask("/upstreams"))["upstreams"]
    counters = await client.ask("/counters")
    return Sample(me, counters, upstreams, {route["id"]: route for route in routes})


class Between:
    """What happened from one sample to another. Nothing is negative: a gateway that began anew counts from zero."""

    def __init__(self, earlier: Sample, later: Sample) -> None:
        self.seconds = max(float(later.counters["at"]) - float(earlier.counters["at"]), 0.001)
        self._earlier, self._later = earlier, later

    def rate(self, name: str) -> float:
        """Return a counter's increase a second."""
        return self._rate(self._earlier.counters[name], self._later.counters[name])

    def rates(self, name: str) -> dict[str, float]:
        """Return the increase a second of a counter with labels, those that grew most first."""
        return self._rates(self._earlier.counters[name], self._later.counters[name])

    def route_rates(self, route_id: str, name: str) -> dict[str, float]:
        """The same of one route."""
        return self._rates(self._earlier.routes.get(route_id, {}).get(name, {}), self._later.routes[route_id][name])

    def quantiles(self, name: str, shares: Mapping[str, float]) -> dict[str, float] | None:
        """Return quantiles of durations in seconds; None where there were none."""
        earlier, later = self._earlier.counters["seconds"][name], self._later.counters["seconds"][name]
        counts = list(later["counts"])
        if earlier["bounds"] == later["bounds"]:
            counts = [max(now - then, 0) for then, now in zip(earlier["counts"], counts, strict=True)]
        if not sum(counts):
            return None
        return {label: quantile(later["bounds"], counts, share) for label, share in shares.items()}

    def _rate(self, earlier: float, later: float) -> float:
        return max(later - earlier, 0.0) / self.seconds

    def _rates(self, earlier: Mapping[str, float], later: Mapping[str, float]) -> dict[str, float]:
        rates = {label: self._rate(earlier.get(label, 0), number) for label, number in later.items()}
        return dict(sorted(rates.items(), key=lambda item: -item[1]))


def has_restarted(earlier: Sample, later: Sample) -> bool:
    """Say whether the counters began anew in between."""
    return _requests(later) < _requests(earlier) or later.counters["at"] < earlier.counters["at"]


def _requests(sample: Sample) -> float:
    return float(sum(sample.counters["requests"].values()))


def quantile(bounds: Sequence[float], counts: Sequence[int], share: float) -> float:
    """Return a quantile of a histogram, as if its buckets were filled evenly; at most the last bound."""
    wanted = share * sum(counts)
    for number, reached in enumerate(accumulate(counts)):
        if reached >= wanted and counts[number]:
            if number == len(bounds):
                break
            lower = bounds[number - 1] if number else 0.0
            inside = (wanted - (reached - counts[number])) / counts[number]
            return lower + (bounds[number] - lower) * max(inside, 0.0)
    return float(bounds[-1])
