"""Which rate limits a request would count under, in words. Nothing is counted for an explanation."""

from collections.abc import Iterator

from gateway.engine.rate_limits import counted_network
from gateway.engine.routes import Route
from gateway.state.rate_limit import RateLimit


def shown_limits(route: Route, client_address: str) -> Iterator[tuple[str, str]]:
    """Yield by what each limit of a route counts, and what it allows to whom."""
    network = counted_network(client_address)
    for limit in route.address_limits:
        yield limit.by, f"{_allowance(limit)}; asked before the token, for {network}; not counted here"
    unless = "; nobody without a token" if route.access == "optional" else ""
    for limit in route.caller_limits:
        yield limit.by, f"{_allowance(limit)}; asked when all else holds{unless}; not counted here"


def _allowance(limit: RateLimit) -> str:
    scope = "over all processes" if limit.is_shared else "in each process"
    return f"{limit.requests} in {limit.per:g} s, {limit.burst} at once, {scope}"
