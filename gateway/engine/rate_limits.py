"""Rate limits of routes: who is counted, and when.

By address, a request counts before its token is looked at, so that a flood of bad tokens is bounded too. By subject or
client, it counts when its caller is proven and may pass: nobody can use up somebody else's allowance with a token that
is revoked, or that the route does not take. A request that is refused for its rate counts under none of the limits
that were asked with it.
"""

import math
from collections.abc import Sequence
from hashlib import blake2b
from ipaddress import IPv6Address, ip_address
from typing import Final

from gateway.engine.forwarding import Forwarding
from gateway.engine.routes import Route
from gateway.model.errors import RateLimited
from gateway.model.principal import Principal
from gateway.model.request import InboundRequest
from gateway.state.rate_limit import RateLimit
from gateway.state.rate_table import Key, RateTable

_LONGEST: Final = 128
"""Characters of a name that are kept as they are; of a longer one only a digest is."""
_MEMO_SIZE: Final = 4096


class RateLimits:
    """Counts requests in a table that outlives it."""

    def __init__(self, table: RateTable, forwarding: Forwarding) -> None:
        self._table = table
        self._forwarding = forwarding
        self._networks: dict[str, str] = {}
        """Memo for clients that come often."""

    def count_address(self, request: InboundRequest, route: Route) -> None:
        """Count a request under the route's limits by address, once. Raises RateLimited."""
        if request.is_address_counted:
            return
        who = self._forwarding.client_address(request)
        if ":" in who:
            who = self._network(who)
        self._take([(limit, (limit.name, who)) for limit in route.address_limits])
        request.is_address_counted = True

    def count_caller(self, request: InboundRequest, route: Route, principal: Principal) -> None:
        """Count a request under the route's limits by subject and client, once. Raises RateLimited."""
        if request.is_caller_counted:
            return
        self._take([(limit, _caller_key(limit, principal)) for limit in route.caller_limits])
        request.is_caller_counted = True

    def _take(self, asked: Sequence[tuple[RateLimit, Key]]) -> None:
        over = self._table.take(asked)
        if over is not None:
            raise RateLimited(f"{over.limit}; {over.wait:.3f} s too early", retry_after=math.ceil(over.wait))

    def _network(self, address: str) -> str:
        network = self._networks.get(address)
        if network is None:
            if len(self._networks) >= _MEMO_SIZE:
                self._networks.clear()
            network = self._networks[address] = counted_network(address)
        return network


def counted_network(address: str) -> str:
    """Return what counts as one client: an IPv4 address, mapped or not, the /64 of an IPv6 address, or "unix"."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"


def _caller_key(limit: RateLimit, principal: Principal) -> Key:
    """Return under what a caller counts: names are only unique with their issuer. Callers without client are one."""
    name = principal.subject if limit.by == "subject" else principal.client_id or ""
    return limit.name, _short(principal.issuer), _short(name)


def _short(name: str) -> str:
    if len(name) <= _LONGEST:
        return name
    return "blake2b " + blake2b(name.encode("utf-8", "surrogatepass"), digest_size=32).hexdigest()
