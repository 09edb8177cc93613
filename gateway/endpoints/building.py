"""The endpoints of a Snapshot, built. What they remember of attempts outlives it."""

from collections.abc import Callable

from gateway.config.compile import Snapshot
from gateway.config.sessions import SessionsSettings
from gateway.endpoints.clients import Clients
from gateway.endpoints.context import Endpoints
from gateway.endpoints.junk import JunkLimit
from gateway.mechanisms.base import Resources
from gateway.mechanisms.logins.base import Login
from gateway.mechanisms.logins.guarded import GuardedLogin
from gateway.mechanisms.logins.slowing import Slowing, SlowingSettings
from gateway.model.clock import Clock


class Attempts:
    """What was tried at the endpoints of this process: guessing stays slow, whatever else is reloaded."""

    def __init__(self, clock: Clock) -> None:
        self.slowing = Slowing(SlowingSettings())
        self.junk = JunkLimit(1, clock)

    def adapt(self, settings: SessionsSettings) -> None:
        """Go by other settings from now on, and forget nothing."""
        self.slowing.adapt(SlowingSettings() if settings.login is None else settings.login.slowing)
        self.junk.per_minute = settings.junk_per_minute


def build_endpoints(
    snapshot: Snapshot,
    resources: Resources,
    attempts: Attempts,
    count_login: Callable[[str], None],
    record: Callable[[str, str], None],
    failed: Callable[[BaseException], None],
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
        max_staleness=config.revocation.max_staleness,
        request_id_header=config.headers.request_id,
        token_headers=(config.headers.access_token, config.headers.refresh_token),
        junk=attempts.junk,
    )
