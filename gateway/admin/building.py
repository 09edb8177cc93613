"""What the admin API asks, from a Snapshot."""

from gateway.admin.admission import Admission, Grant
from gateway.admin.parts import AdminParts, Insight
from gateway.config.admin import Admin
from gateway.config.compile_admin import AdminFiles
from gateway.config.snapshot import Snapshot
from gateway.model.clock import Clock
from gateway.state.base import State


def admin_parts(snapshot: Snapshot, state: State | None, clock: Clock, insight: Insight) -> AdminParts:
    """Return the parts, of a configuration that has the section `admin`."""
    admin = snapshot.config.admin
    assert admin is not None
    own = None if snapshot.own is None else snapshot.own.expect.issuer
    issuers = {each.expect.issuer for each in snapshot.authenticators.values()} | ({own} if own else set())
    return AdminParts(
        insight,
        _admission(admin, snapshot, state, clock),
        admin.decisions,
        snapshot.sessions,
        own,
        frozenset(issuers),
    )


def _admission(admin: Admin, snapshot: Snapshot, state: State | None, clock: Clock) -> Admission:
    files = snapshot.admin or AdminFiles()
    tls = files.tls
    return Admission(
        clock,
        None if state is None else state.view,
        snapshot.config.revocation.max_staleness,
        tuple(snapshot.authenticators[name] for name in admin.authenticators or ()),
        write=Grant(files.tokens, admin.require, admin.certificates),
        read=Grant(files.read_tokens, admin.read.require, admin.read.certificates) if admin.read else Grant(),
        rate_limit=admin.rate_limit.build(),
        authorities=None if tls is None else tls.clients,
        names=frozenset() if tls is None else tls.names,
    )
