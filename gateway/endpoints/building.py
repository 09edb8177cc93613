"""The endpoints of a Snapshot, built."""

from collections.abc import Callable

from gateway.config.compile import Snapshot
from gateway.config.sessions import SessionsSettings
from gateway.endpoints.clients import Clients
from gateway.endpoints.context import Endpoints
from gateway.mechanisms.base import Resources
from gateway.mechanisms.fetch import Post
from gateway.mechanisms.logins.base import Login
from gateway.mechanisms.logins.guarded import GuardedLogin
from gateway.mechanisms.logins.slowing import Slowing, SlowingSettings


def build_endpoints(
    snapshot: Snapshot,
    resources: Resources,
    post: Post,
    count_login: Callable[[str], None],
    record: Callable[[str, str], None],
    failed: Callable[[BaseException], None],
) -> Endpoints | None:
    """Return the endpoints; None without sessions. Raises BadSetting. Who serves them closes them."""
    config = snapshot.config
    settings, state = config.sessions, resources.state
    if settings is None or state is None or snapshot.sessions is None or snapshot.own is None:
        return None
    login, signup = _logins(settings, resources, post, count_login)
    return Endpoints(
        snapshot.sessions,
        settings,
        Clients(settings.clients, resources.read),
        snapshot.own,
        state.view,
        snapshot.challenge,
        resources.clock,
        login=login,
        signup=signup,
        record=record,
        failed=failed,
        max_staleness=config.revocation.max_staleness,
        request_id_header=config.headers.request_id,
        token_headers=(config.headers.access_token, config.headers.refresh_token),
    )


def _logins(
    settings: SessionsSettings, resources: Resources, post: Post, count: Callable[[str], None]
) -> tuple[Login | None, Login | None]:
    """Return the login and the sign-up. They share the slowing: guessing at one slows the other."""
    slowing = Slowing(SlowingSettings() if settings.login is None else settings.login.slowing)
    login = signup = None
    if settings.login is not None and settings.login.users is not None:
        login = GuardedLogin(settings.login.users.build(resources), slowing, count)
    elif settings.login is not None and settings.login.backend is not None:
        login = GuardedLogin(settings.login.backend.build(resources, post), slowing, count)
    if settings.signup is not None:
        signup = GuardedLogin(settings.signup.build(resources, post, signs_up=True), slowing, count)
    return login, signup
