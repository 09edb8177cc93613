"""Ends what is under way for callers who may not go on: their token was revoked, or nobody can know whether it was.

It is watched by the coarse clock, and so has its turn four times a second. It goes through the connections only when
something was revoked since, or while the news is too old for some route: one of the Snapshot in force, or of a former
one by which something is still under way.
"""

from math import inf
from typing import TYPE_CHECKING, Final

from gateway.model.errors import Refusal
from gateway.proxy.relay import Relay

if TYPE_CHECKING:
    from gateway.proxy.plane import DataPlane

_ALWAYS: Final = 0.0


class Sweep:
    """One per process."""

    deadline = _ALWAYS

    def __init__(self, plane: "DataPlane") -> None:
        self._plane = plane
        self._version = -1
        self._least_staleness = inf

    def remember(self, least_staleness: float) -> None:
        """Mind routes for which news may be so old. They are forgotten when a sweep finds nothing of theirs."""
        self._least_staleness = min(self._least_staleness, least_staleness)

    def deadline_passed(self, now: float) -> None:
        """Look whether a sweep is due."""
        view = self._plane.snapshot.gatekeeper.revocations
        if view is None:
            return
        version = view.version
        if version != self._version or view.staleness() > self._least_staleness:
            self._version = version
            self._sweep()

    def _sweep(self) -> None:
        self._least_staleness = self._plane.snapshot.routes.least_staleness
        for connection in list(self._plane.connections):
            relay = connection.relay
            try:
                if relay is not None and relay.allow is not None:
                    self.remember(relay.snapshot.routes.least_staleness)
                if relay is not None and (refusal := _refusal(relay)) is not None:
                    relay.cut(refusal)
            except Exception as error:  # noqa: BLE001 - fail closed, and let no bug in one save the others
                self._plane.report_bug("sweep", error)
                connection.abort()


def _refusal(relay: Relay) -> Refusal | None:
    """Return why a request may not go on. One that was refused, or has no caller, is nobody's concern."""
    if relay.principal is None or relay.route is None or relay.allow is None:
        return None
    return relay.snapshot.gatekeeper.still_allowed(relay.route, relay.principal, relay.request)
