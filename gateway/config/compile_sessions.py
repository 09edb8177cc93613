"""The `sessions` section to what serves it: the keys, the service, the gateway's own routes."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from hashlib import sha256

from gateway.config.mistakes import SettingPath
from gateway.config.schema import Config
from gateway.config.session_clients import secret_hashes
from gateway.config.sessions import SessionsSettings, own_paths, public_clients, rules
from gateway.engine.cors import CorsPolicy
from gateway.engine.paths import path_pattern
from gateway.engine.routes import Route
from gateway.engine.sessions import SessionService
from gateway.mechanisms.base import BadSetting, Credentials, FetchFailed, OwnTokens, Resources
from gateway.mechanisms.fetch import Answer
from gateway.mechanisms.key_file import read_key_file
from gateway.tokens.issue import own_expectations
from gateway.tokens.own_keys import BadKeyring, OwnKeys

Check = Callable[[], object]

ENDPOINTS = "gateway:endpoints"
"""The upstream that stands for the gateway's own routes. No configured name can hold a colon."""
BODY_BYTES = 16 * 1024
"""The longest body that one of them takes."""

_ALARM_SECRET = 32
"""Bytes that the secret of alarms has at least: as many as the HMAC."""


def own_tokens(settings: SessionsSettings, resources: Resources) -> OwnTokens:
    """Return what verifies our own access tokens. Raises BadSetting."""
    try:
        keyring = read_key_file(resources.directory / settings.key_file, resources.clock)
    except BadKeyring as error:
        raise BadSetting(f"{settings.key_file} {error}", ("key_file",)) from error
    expect = own_expectations(settings.issuer, settings.audiences)
    return OwnTokens(OwnKeys(keyring), expect, resources.seen)


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


def checks_of_files(settings: SessionsSettings, resources: Resources) -> Iterator[tuple[SettingPath, Check]]:
    """Yield what raises BadSetting for a part of the endpoints that cannot be built later, and where that part is."""
    for name, client in settings.clients.items():
        yield (), partial(secret_hashes, name, client, resources.read)
    if settings.login is not None and settings.login.users is not None:
        users = settings.login.users
        yield ("login", "users"), lambda: users.build(resources).close()
    if settings.login is not None and settings.login.backend is not None:
        yield ("login", "backend"), partial(settings.login.backend.build, resources, _no_post)
    if settings.signup is not None:
        yield ("signup",), partial(settings.signup.build, resources, _no_post)
    yield (), partial(alarm_secret, settings, resources)


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
    routes = [] if config.sessions is None else own_paths(config.sessions)
    own = [_own_route(each.id, each.path, cors if "POST" in each.methods else None) for each in routes]
    if config.identity is not None:
        own.insert(0, _own_route("identity_jwks", config.identity.jwks_path, None))
    return own


def own_cookies(config: Config) -> list[Credentials]:
    """Return the cookies that never reach an upstream."""
    if config.sessions is None:
        return []
    cookies = config.sessions.cookies
    return [Credentials(cookies=frozenset({cookies.access.encode(), cookies.refresh.encode()}))]


def token_digest(content: bytes) -> bytes:
    """Return the SHA-256 of the token in a file, without white space around it. Raises ValueError for a weak one."""
    token = content.strip()
    if len(token) < 32 or not token.isascii() or len(token.split()) != 1:
        raise ValueError("does not hold a token: one word of at least 32 ASCII characters")
    return sha256(token).digest()


async def _no_post(url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float, max_bytes: int) -> Answer:
    raise FetchFailed("no network call is made here")


def _own_route(name: str, path: str, cors: CorsPolicy | None) -> Route:
    return Route(
        id=f"gateway:{name}",
        path=path_pattern(path),
        upstream=ENDPOINTS,
        access="public",
        body_bytes=BODY_BYTES,
        is_own=True,
        cors=cors,
    )
