"""The `sessions` section to what serves it: the keys, the service, the gateway's own routes."""

from hashlib import sha256
from pathlib import Path

from gateway.config.schema import Config
from gateway.config.sessions import SessionsSettings, own_paths, public_clients, rules
from gateway.engine.paths import path_pattern
from gateway.engine.routes import Route
from gateway.engine.sessions import SessionService
from gateway.mechanisms.base import BadSetting, Credentials, OwnTokens, Resources
from gateway.mechanisms.key_file import read_key_file
from gateway.tokens.own_keys import BadKeyring, OwnKeys
from gateway.tokens.verify import Expectations

ENDPOINTS = "gateway:endpoints"
"""The upstream that stands for the gateway's own routes. No configured name can hold a colon."""
BODY_BYTES = 64 * 1024
"""The longest body that one of them takes."""

_ALGORITHMS = frozenset({"EdDSA", "ES256", "ES384", "ES512", "RS256", "HS256"})
_LONGEST = 2 * 86400.0


def own_tokens(settings: SessionsSettings, resources: Resources) -> OwnTokens:
    """Return what verifies our own access tokens. Raises BadSetting."""
    try:
        keyring = read_key_file(resources.directory / settings.key_file, resources.clock)
    except BadKeyring as error:
        raise BadSetting(f"{settings.key_file} {error}", ("key_file",)) from error
    expect = Expectations(
        issuer=settings.issuer,
        audiences=frozenset(settings.audiences),
        algorithms=_ALGORITHMS,
        required_claims=("iat", "jti", "client_id", "sid", "gen"),
        max_lifetime=_LONGEST,
    )
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


def own_routes(config: Config) -> list[Route]:
    """Return the routes of the gateway itself."""
    routes = []
    if config.identity is not None:
        routes.append(_own_route("identity_jwks", config.identity.jwks_path, ("GET",)))
    if config.sessions is not None:
        routes += [_own_route(own.id, own.path, None) for own in own_paths(config.sessions)]
    return routes


def own_cookies(config: Config) -> list[Credentials]:
    """Return the cookies that never reach an upstream."""
    if config.sessions is None:
        return []
    cookies = config.sessions.cookies
    return [Credentials(cookies=frozenset({cookies.access.encode(), cookies.refresh.encode()}))]


def key_file(config: Config, directory: Path) -> Path | None:
    """Return the file of our own keys."""
    return None if config.sessions is None else directory / config.sessions.key_file


def token_digest(content: bytes) -> bytes:
    """Return the SHA-256 of the token in a file, without white space around it. Raises ValueError for a weak one."""
    token = content.strip()
    if len(token) < 32 or not token.isascii() or len(token.split()) != 1:
        raise ValueError("does not hold a token: one word of at least 32 ASCII characters")
    return sha256(token).digest()


def _own_route(name: str, path: str, methods: tuple[str, ...] | None) -> Route:
    return Route(
        id=f"gateway:{name}",
        path=path_pattern(path),
        methods=methods,
        upstream=ENDPOINTS,
        access="public",
        body_bytes=BODY_BYTES,
        is_own=True,
    )
