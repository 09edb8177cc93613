"""What the admin API asks, from a Snapshot."""

from gateway.admin.admission import Admission
from gateway.admin.parts import AdminParts
from gateway.config.snapshot import Snapshot
from gateway.model.clock import Clock
from gateway.state.base import State


def admin_parts(snapshot: Snapshot, state: State | None, clock: Clock) -> AdminParts | None:
    """Return the parts; None without the settings that it needs."""
    admin = snapshot.config.admin
    if admin is None or state is None or snapshot.sessions is None or snapshot.own is None:
        return None
    admission = Admission(
        clock,
        state.view,
        snapshot.config.revocation.max_staleness,
        snapshot.admin_tokens,
        tuple(snapshot.authenticators[name] for name in admin.authenticators or ()),
        admin.require,
    )
    issuer = snapshot.own.expect.issuer
    issuers = frozenset({issuer, *(each.expect.issuer for each in snapshot.authenticators.values())})
    return AdminParts(snapshot.sessions, admission, issuer, issuers)
