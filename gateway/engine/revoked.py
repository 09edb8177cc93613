"""Whether a token still holds, by what this process knows of revocations.

What is known to be void is refused however old the news is. Where the news is too old, the route decides; before the
first snapshot nothing is known at all, and nobody passes.
"""

from math import inf
from typing import Final

from gateway.engine.routes import Route
from gateway.model.errors import RevokedToken, StaleRevocations
from gateway.model.principal import Principal
from gateway.model.request import InboundRequest
from gateway.state.revocations import RevocationView

_READING: Final = frozenset({"GET", "HEAD"})
"""Methods that pass on a `hybrid` route, unless they ask for an upgrade."""


def refuse_revoked(view: RevocationView, route: Route, principal: Principal, request: InboundRequest) -> bool:
    """Return whether the caller passes although revocations may have been missed.

    Raises RevokedToken or StaleRevocations.
    """
    staleness = view.staleness()
    if staleness == inf:
        raise StaleRevocations("no revocations are known yet")
    if view.is_revoked(principal):
        raise RevokedToken("the token, its session, or all older tokens of its subject, client or issuer were revoked")
    if staleness <= route.max_staleness:
        return False
    if not passes_stale(route, request):
        raise StaleRevocations(
            f"the last news of revocations is {staleness:.1f} s old; {route.max_staleness:g} allowed"
        )
    return True


def passes_stale(route: Route, request: InboundRequest) -> bool:
    """Say whether a route lets a request pass while revocations may have been missed."""
    if route.when_stale == "hybrid":
        return request.method in _READING and request.upgrade is None
    return route.when_stale == "open"
