"""The `sessions` section to what serves it: the keys, the service, the gateway's own routes."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from gateway.config.compile_upstreams import ConnectInside, UpstreamSpec
from gateway.config.rate_limits import RateLimitSettings, address_limits
from gateway.config.reuse import Workshop
from gateway.config.schema import Config
from gateway.config.session_clients import secret_hashes
from gateway.config.sessions import SessionsSettings, own_paths, public_clients, rules
from gateway.engine.cors import CorsPolicy
from gateway.engine.paths import path_pattern
from gateway.engine.routes import Route
from gateway.engine.sessions import SessionService
from gateway.mechanisms.base import BadSetting, Credentials, OwnTokens, Resources
from gateway.mechanisms.key_file import read_key_file
from gateway.mechanisms.logins.base import Login
from gateway.model.upstream import INSIDE
from gateway.tokens.issue import own_expectations
from gateway.tokens.own_keys import BadKeyring, OwnKeys

ENDPOINTS = "gateway:endpoints"
"""The upstream that stands for the gateway's own routes. No configured name can hold a colon."""
BODY_BYTES = 16 * 1024
"""The longest body that one of them takes."""

_IDLE_LIFETIME = 10
"""Seconds. The listener of these routes closes an idle connection after 20: a request on its way then would be lost."""
_ALARM_SECRET = 32
"""Bytes that the secret of alarms has at least: as many as the HMAC."""


class Collect(Protocol):
    """Collects what goes wrong inside, as a mistake in the setting at a path."""

    def __call__(self, *path: str | int) -> AbstractContextManager[None]: ...


@dataclass(frozen=True, slots=True, eq=False)
class SessionParts:
    """What was built for the endpoints of sessions, and the secret of alarms."""

    login: Login | None = None
    signup: Login | None = None
    alarm_secret: bytes | None = field(default=None, repr=False)


def own_tokens(settings: SessionsSettings, resources: Resources, keys: OwnKeys | None = None) -> OwnTokens:
    """Return what verifies our own access tokens: with the `keys` there are, which others keep fresh.

    Raises BadSetting.
    """
    try:
        keyring = read_key_file(resources.directory / settings.key_file, resources.clock)
    except BadKeyring as error:
        raise BadSetting(f"{settings.key_file} {error}", ("key_file",)) from error
    expect = own_expectations(settings.issuer, settings.audiences)
    return OwnTokens(keys or OwnKeys(keyring), expect, resources.seen)


def session_service(settings: SessionsSettings, resources: Resources) -> SessionService | None:
    """Return the service over the store of this process; None where there is no store, as in `gateway check`."""
    if resources.state is None or resources.own is None:
        return None
    return SessionService(
        store=resources.state.store,
        feed=resources.state.feed,
        view=resources.state.view,
        keys=resources.own.keys,
        expect=resources.own.expect,
        rules=rules(settings),
        record=resources.record,
        public_clients=public_clients(settings),
    )


def build_session_parts(settings: SessionsSettings, workshop: Workshop, at: Collect) -> SessionParts:
    """Return the parts; what goes wrong is collected by `at`. Looks also at the secrets of clients."""
    resources = workshop.resources
    login = signup = secret = None
    for name, client in settings.clients.items():
        with at("sessions"):
            secret_hashes(name, client, resources.read)
    if settings.login is not None and (users := settings.login.users) is not None:
        with at("sessions", "login", "users"):
            login = _part(workshop, "users", users, lambda: users.build(resources))
    if settings.login is not None and (backend := settings.login.backend) is not None:
        with at("sessions", "login", "backend"):
            login = _part(workshop, "backend", backend, lambda: backend.build(resources, resources.post))
    if (entry := settings.signup) is not None:
        with at("sessions", "signup"):
            signup = _part(workshop, "signup", entry, lambda: entry.build(resources, resources.post, signs_up=True))
    with at("sessions"):
        secret = alarm_secret(settings, resources)
    return SessionParts(login, signup, secret)


def _part(workshop: Workshop, name: str, settings: object, build: Callable[[], Login]) -> Login:
    return workshop.part(("sessions", name), settings, build, workshop.resources.insecure, workshop.resources.post)


def alarm_secret(settings: SessionsSettings, resources: Resources) -> bytes | None:
    """Return the secret of alarms, without white space around it; None where there are none. Raises BadSetting."""
    if settings.alarm is None:
        return None
    secret = resources.read(settings.alarm.secret_file, "alarm", "secret_file").strip()
    if len(secret) < _ALARM_SECRET:
        message = f"{settings.alarm.secret_file} holds less than {_ALARM_SECRET} bytes"
        raise BadSetting(message, ("alarm", "secret_file"))
    return secret


def own_routes(config: Config, cors: CorsPolicy | None = None) -> list[Route]:
    """Return the routes of the gateway itself. `cors` is for those that pages call; documents are for everybody."""
    own = []
    if config.identity is not None:
        own.append(_own_route("identity_jwks", config.identity.jwks_path, None))
    if config.sessions is not None:
        for name, path, methods in own_paths(config.sessions):
            is_called = "POST" in methods
            limits = config.sessions.rate_limits if is_called else ()
            own.append(_own_route(name, path, cors if is_called else None, limits))
    return own


def own_upstream(connect: ConnectInside) -> UpstreamSpec:
    """Return the upstream that stands for the gateway's own routes, which are served in this process."""
    return UpstreamSpec(ENDPOINTS, (INSIDE,), idle_lifetime=_IDLE_LIFETIME, inside=connect)


def own_cookies(config: Config) -> list[Credentials]:
    """Return the cookies that never reach an upstream."""
    if config.sessions is None:
        return []
    cookies = config.sessions.cookies
    return [Credentials(cookies=frozenset({cookies.access.encode(), cookies.refresh.encode()}))]


def _own_route(name: str, path: str, cors: CorsPolicy | None, limits: Sequence[RateLimitSettings] = ()) -> Route:
    return Route(
        id=f"gateway:{name}",
        path=path_pattern(path),
        upstream=ENDPOINTS,
        access="public",
        body_bytes=BODY_BYTES,
        is_own=True,
        cors=cors,
        address_limits=address_limits(limits, f"gateway:{name}"),
    )
