"""The endpoints of a Snapshot, built."""

from collections.abc import Callable

from gateway.config.snapshot import Snapshot
from gateway.endpoints.attempts import Attempts
from gateway.endpoints.clients import Clients
from gateway.endpoints.context import Around, Endpoints
from gateway.mechanisms.base import Resources
from gateway.mechanisms.logins.base import Login
from gateway.mechanisms.logins.guarded import GuardedLogin


def build_endpoints(
    snapshot: Snapshot,
    resources: Resources,
    attempts: Attempts,
    count_login: Callable[[str], None],
    record: Callable[[str, str], None],
    failed: Callable[[BaseException], None],
    around: Around | None = None,
) -> Endpoints | None:
    """Return the endpoints; None without sessions. `resources` are those that the Snapshot was compiled with."""
    config = snapshot.config
    settings, state = config.sessions, resources.state
    if settings is None or state is None or snapshot.sessions is None or snapshot.own is None:
        return None
    parts = snapshot.session_parts
    assert parts is not None

    def guarded(login: Login | None) -> Login | None:
        """Login and sign-up share the slowing: guessing at one slows the other."""
        return None if login is None else GuardedLogin(login, attempts.slowing, count_login)

    return Endpoints(
        snapshot.sessions,
        settings,
        Clients(settings.clients, resources.read),
        snapshot.own,
        state.view,
        snapshot.challenge,
        resources.clock,
        login=guarded(parts.login),
        signup=guarded(parts.signup),
        record=record,
        failed=failed,
        around=around,
        max_staleness=config.revocation.max_staleness,
        request_id_header=config.headers.request_id,
        token_headers=(config.headers.access_token, config.headers.refresh_token),
        junk=attempts.junk,
    )
