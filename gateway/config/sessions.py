"""The `sessions` section: tokens that the gateway issues itself, and the endpoints that go with them."""

import re
from collections.abc import Iterator
from typing import Annotated, Literal, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from gateway.config.rate_limits import AddressRateLimitSettings
from gateway.config.session_clients import ClientId, ClientSettings, Scope
from gateway.config.session_endpoints import (
    AlarmSettings,
    AnswerSettings,
    CookieSettings,
    EndpointSettings,
    ErrorProfiles,
    ResourceSettings,
    plain_path,
)
from gateway.engine.session_rules import AccessRules, ExchangeRules, LimitRules, RefreshRules, SessionRules
from gateway.engine.token_cookies import AccessCookie
from gateway.mechanisms.logins.backend import BackendLoginSettings
from gateway.mechanisms.logins.slowing import SlowingSettings
from gateway.mechanisms.logins.users_file import UsersFileSettings
from gateway.model.settings import FilePath, Settings


def _issuer(value: str) -> str:
    parts = urlsplit(value)
    if not parts.hostname or parts.username is not None or parts.port == 0:
        raise ValueError("is not an issuer; write https://gateway.example.com")
    if "?" in value or "#" in value:
        raise ValueError("must have neither query nor fragment")
    plain_path(parts.path.removesuffix("/") or "/")
    return value


Issuer = Annotated[str, Field(pattern=r"^https?://[!-~]+$"), AfterValidator(_issuer)]

_REDIRECT = re.compile(r"https?://[!-\[\]-~]+|/(?!/)[!-\[\]-~]*")


def _redirect(value: str) -> str:
    if not _REDIRECT.fullmatch(value):
        raise ValueError("is neither an http(s) URL nor a path of this host, such as /welcome")
    return value


RedirectTarget = Annotated[str, AfterValidator(_redirect)]


class LoginSettings(Settings):
    """Who can log in at the gateway."""

    users: UsersFileSettings | None = None
    """Users with hashed passwords, in a file."""
    backend: BackendLoginSettings | None = None
    """The login endpoint of an existing backend: what it answers with 2xx becomes a session."""
    slowing: SlowingSettings = SlowingSettings()
    """How guessing is slowed down."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.users is None) == (self.backend is None):
            raise ValueError("needs exactly one of users, backend")
        return self


class SessionsSettings(Settings):
    """Sessions: the gateway issues access and refresh tokens itself, exchanges and revokes them."""

    issuer: Issuer
    """The `iss` of its tokens: an https URL without query and fragment, exactly as clients know it."""
    audiences: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
    """The `aud` of its access tokens: the APIs they are for."""
    key_file: FilePath
    """The keys: a file that `gateway keys create` makes and `gateway keys rotate` changes."""
    access: AccessRules = AccessRules()
    """Access tokens."""
    refresh: RefreshRules = RefreshRules()
    """Refresh tokens."""
    exchange: ExchangeRules = ExchangeRules()
    """When a refresh token is exchanged, and when it is taken for stolen."""
    limit: LimitRules = LimitRules()
    """How many sessions a user may have."""
    binding: Literal["none", "current"] = "none"
    """`current`: only the access token of the session's present pair is good; older ones die when the
    `concurrency_window` is over. `none`: each is good until it expires."""
    scope: Scope = ""
    """The scope of a session where the login itself says none."""
    default_client: ClientId | None = None
    """The client of logins that name none: a public one."""
    clients: Annotated[dict[ClientId, ClientSettings], Field(min_length=1)]
    """The applications that may use the endpoints, by `client_id`."""
    login: LoginSettings | None = None
    """Who can log in at the gateway; nobody without it."""
    signup: BackendLoginSettings | None = None
    """The sign-up endpoint of an existing backend: whoever signs up is logged in."""
    endpoints: EndpointSettings = EndpointSettings()
    """Where the endpoints are."""
    errors: ErrorProfiles = ErrorProfiles()
    """How a refused exchange is answered."""
    answer: AnswerSettings = AnswerSettings()
    """How new tokens travel."""
    cookies: CookieSettings = CookieSettings()
    """Tokens in cookies."""
    redirects: frozenset[RedirectTarget] = frozenset()
    """Where a form may ask to be sent after login and logout (`redirect`): exactly these URLs or paths."""
    junk_per_minute: Annotated[int, Field(ge=1)] = 60
    """How many refresh tokens that were never issued a client address may present in a minute (429 beyond)."""
    rate_limits: tuple[AddressRateLimitSettings, ...] = ()
    """How often a client address may ask at each endpoint that takes POST (429 beyond). Guessing is slowed without it:
    `login.slowing`, `junk_per_minute`."""
    resource: ResourceSettings | None = None
    """What the gateway protects, for clients that look for it (RFC 9728)."""
    alarm: AlarmSettings | None = None
    """A webhook that hears of every session that ends as stolen."""

    @model_validator(mode="after")
    def _public_clients_rotate(self) -> Self:
        public = sorted(name for name, client in self.clients.items() if client.type == "public" and client.grants)
        if public and not self.refresh.rotate:
            raise ValueError(
                f'public clients ("{public[0]}") need refresh.rotate (RFC 9700 §2.2.2); take away their grants, or '
                "make them confidential"
            )
        return self

    @model_validator(mode="after")
    def _default_client_is_public(self) -> Self:
        if self.default_client is None:
            return self
        client = self.clients.get(self.default_client)
        if client is None:
            raise ValueError(f'default_client "{self.default_client}" is not one of clients')
        if client.type != "public":
            raise ValueError("default_client must be a public client: who names no client proves nothing")
        return self

    @model_validator(mode="after")
    def _binding_needs_rotation(self) -> Self:
        if self.binding == "current" and not self.refresh.rotate:
            raise ValueError("binding: current needs refresh.rotate: without it all access tokens are of one pair")
        return self

    @model_validator(mode="after")
    def _paths_differ_from_the_well_known(self) -> Self:
        first: dict[str, str] = {}
        for name, path, _ in own_paths(self):
            if first.setdefault(path, name) != name:
                raise ValueError(f"endpoints: {first[path]} and {name} are both {path}")
        return self

    @model_validator(mode="after")
    def _refresh_token_outside_of_cookies(self) -> Self:
        if self.cookies.refresh_cookie:
            return self
        if self.redirects:
            raise ValueError("redirects carry tokens in cookies only: they need cookies.refresh_cookie")
        if self.exchange.wants_access and self.cookies.access_cookie:
            raise ValueError(
                "no page can send the access token of its cookie beside a refresh token in the body, as "
                f"exchange.access_token: {self.exchange.access_token} wants it; set cookies.refresh_cookie"
            )
        return self

    @model_validator(mode="after")
    def _refresh_cookie_reaches_its_endpoints(self) -> Self:
        if "cookies" not in (self.answer.login, self.answer.refresh) or not self.cookies.refresh_cookie:
            return self
        for name in ("refresh", "logout"):
            path = getattr(self.endpoints, name)
            if path is not None and not _is_below(path, self.cookies.refresh_path):
                raise ValueError(
                    f"the refresh cookie has the path {self.cookies.refresh_path}, so it never reaches "
                    f"endpoints.{name} ({path}); set cookies.refresh_path"
                )
        return self


class OwnRoute(NamedTuple):
    """A path of the gateway's own. Other methods than `methods` get 405 from the endpoint itself."""

    id: str
    path: str
    methods: tuple[str, ...]


def rules(settings: SessionsSettings) -> SessionRules:
    """Return the rules of sessions that a configuration sets."""
    return SessionRules(settings.access, settings.refresh, settings.exchange, settings.limit, settings.binding)


def access_cookie(settings: SessionsSettings) -> AccessCookie:
    """Return the cookie of access tokens."""
    cookies = settings.cookies
    return AccessCookie(cookies.access, cookies.same_site, outlives_token=settings.exchange.wants_access)


def public_clients(settings: SessionsSettings) -> frozenset[str]:
    """Return the clients whose refresh tokens may come without a word about the client."""
    return frozenset(
        name
        for name, client in settings.clients.items()
        if client.type == "public" and "refresh_token" in client.grants
    )


def own_paths(settings: SessionsSettings) -> list[OwnRoute]:
    """Return the paths where the gateway answers itself. They win over routes."""
    return list(_own_paths(settings))


def _own_paths(settings: SessionsSettings) -> Iterator[OwnRoute]:
    endpoints = settings.endpoints
    absent = {"login"} if settings.login is None else set()
    absent |= {"signup"} if settings.signup is None else set()
    for name in ("token", "revoke", "introspect", "login", "signup", "refresh", "logout", "sessions"):
        path = getattr(endpoints, name)
        if path is not None and name not in absent:
            yield OwnRoute(name, path, ("POST",))
    if endpoints.jwks is not None:
        yield OwnRoute("jwks", endpoints.jwks, ("GET", "HEAD"))
    if endpoints.metadata:
        path = well_known_path("oauth-authorization-server", settings.issuer)
        yield OwnRoute("issuer_metadata", path, ("GET", "HEAD"))
        if settings.resource is not None:
            path = well_known_path("oauth-protected-resource", settings.resource.identifier)
            yield OwnRoute("resource_metadata", path, ("GET", "HEAD"))


def well_known_path(name: str, identifier: str) -> str:
    """Return where the metadata of an issuer or a resource are served. RFC 8414 §3.1, RFC 9728 §3.1."""
    return f"/.well-known/{name}{urlsplit(identifier).path.removesuffix('/')}"


def origin_of(identifier: str) -> str:
    """Return scheme, host and port of a URL, as they are written there."""
    parts = urlsplit(identifier)
    return f"{parts.scheme}://{parts.netloc}"


def resource_metadata_url(settings: SessionsSettings) -> str | None:
    """Return the `resource_metadata` of `WWW-Authenticate` (RFC 9728 §5.1), where the document is served."""
    if settings.resource is None or not settings.endpoints.metadata:
        return None
    identifier = settings.resource.identifier
    return origin_of(identifier) + well_known_path("oauth-protected-resource", identifier)


def _is_below(path: str, prefix: str) -> bool:
    """Say whether a cookie with the path `prefix` is sent to `path` (RFC 6265 §5.1.4)."""
    return prefix == "/" or path == prefix or path.startswith(prefix.removesuffix("/") + "/")
