"""Where the gateway's own endpoints are, and how they speak."""

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from gateway.engine.paths import path_pattern
from gateway.model.settings import FilePath, Origin, Settings


def plain_path(value: str) -> str:
    """Return a path that is plain and in canonical form. Raises ValueError for any other."""
    pattern = path_pattern(value)
    if pattern.rest or None in pattern.segments or pattern.literal_prefix != value:
        raise ValueError(f'"{value}" must be a plain path, without {{…}} and **')
    return value


OwnPath = Annotated[str, AfterValidator(plain_path)]
"""A plain path in canonical form."""


class EndpointSettings(Settings):
    """Where the gateway's own endpoints are. null switches one off."""

    token: OwnPath | None = "/oauth/token"  # noqa: S105 - a path
    """The token endpoint (RFC 6749 §3.2): `grant_type=refresh_token`, as a form."""
    revoke: OwnPath | None = "/oauth/revoke"
    """Revocation (RFC 7009)."""
    introspect: OwnPath | None = "/oauth/introspect"
    """Introspection (RFC 7662), for clients with `may: {introspect: true}`."""
    login: OwnPath | None = "/auth/login"
    """Log in with a user name and a password. It is there only with `login`."""
    signup: OwnPath | None = None
    """Sign up at the backend. It is there only with `signup`."""
    refresh: OwnPath | None = "/auth/refresh"
    """Exchange a refresh token from a JSON body, a form or a cookie."""
    logout: OwnPath | None = "/auth/logout"
    """End this session, or all sessions of the user."""
    sessions: OwnPath | None = "/auth/sessions"
    """Open a session for a user that a backend has authenticated: for clients with `may: {open_sessions: true}`."""
    jwks: OwnPath | None = "/.well-known/jwks.json"
    """The public halves of the signing keys (RFC 7517)."""
    metadata: bool = True
    """Serve the well-known documents: of the issuer (RFC 8414), and of the resource (RFC 9728) if there is one."""

    @model_validator(mode="after")
    def _paths_differ(self) -> Self:
        first: dict[str, str] = {}
        for name in type(self).model_fields:
            path = getattr(self, name)
            if isinstance(path, str) and first.setdefault(path, name) != name:
                raise ValueError(f"{first[path]} and {name} are both {path}")
        return self


class ErrorProfiles(Settings):
    """How a refused exchange is answered. `oauth`: 400 `invalid_grant` (RFC 6749 §5.2). `bearer`: 401 with
    `WWW-Authenticate`, and the cookies are cleared."""

    token: Literal["oauth", "bearer"] = "oauth"  # noqa: S105 - a profile
    """At the token endpoint."""
    refresh: Literal["oauth", "bearer"] = "bearer"
    """At the refresh endpoint."""


AnswerKind = Literal["json", "headers", "cookies"]


class AnswerSettings(Settings):
    """How new tokens travel. `json`: in the body (RFC 6749 §5.1). `headers`: in the headers that
    `headers.access_token` and `headers.refresh_token` name. `cookies`: in cookies that scripts cannot read."""

    login: AnswerKind = "json"
    """At the login and sign-up endpoints. Where a form asks for a `redirect`, always in cookies."""
    refresh: AnswerKind = "json"
    """At the refresh endpoint. A refresh token that came in a cookie is always answered in cookies."""


_COOKIE_NAME = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"

CookieName = Annotated[str, Field(pattern=_COOKIE_NAME, max_length=64)]


class CookieSettings(Settings):
    """Tokens in cookies: always `HttpOnly` and `Secure`, never for other hosts, never forwarded upstream."""

    access: CookieName = "__Host-access"
    """The name of the access token's cookie; its path is `/`."""
    refresh: CookieName = "__Secure-refresh"
    """The name of the refresh token's cookie."""
    refresh_path: OwnPath = "/auth"
    """Its path: the refresh and logout endpoints must be below."""
    same_site: Literal["strict", "lax", "none"] = "strict"
    """`SameSite` of both."""
    access_cookie: bool = True
    """Put the access token into a cookie as well. Otherwise it stands in the body, for scripts to keep in memory."""
    refresh_cookie: bool = True
    """Put the refresh token into a cookie. Otherwise it stands in the body, for the page to keep and to send."""
    origins: frozenset[Origin] = frozenset()
    """Origins whose pages may send requests with the refresh cookie: `https://app.example.com`. Pages of the gateway's
    own origin may anyway, where the browser says so (`Sec-Fetch-Site: same-origin`)."""

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        if self.access == self.refresh:
            raise ValueError("the two cookies need different names")
        if self.refresh.startswith("__Host-") and self.refresh_path != "/":
            raise ValueError("a cookie whose name begins with __Host- has the path /: set refresh_path: /")
        if not (self.access_cookie or self.refresh_cookie):
            raise ValueError("without access_cookie and refresh_cookie nothing is in a cookie; write answer: json")
        return self


class ResourceSettings(Settings):
    """What the gateway protects, for clients that look for it (RFC 9728)."""

    identifier: Annotated[str, Field(pattern=r"^https?://[!-~]+$")]
    """The resource identifier: a URL without query and fragment."""
    scopes_supported: tuple[str, ...] = ()
    """Scopes that clients may want."""
    name: str | None = None
    """A name for people."""
    documentation: Annotated[str, Field(pattern=r"^https?://[!-~]+$")] | None = None
    """Where developers can read more."""

    @model_validator(mode="after")
    def _is_an_identifier(self) -> Self:
        if "?" in self.identifier or "#" in self.identifier:
            raise ValueError("identifier must have neither query nor fragment")
        plain_path(urlsplit(self.identifier).path.removesuffix("/") or "/")
        return self


def _webhook(value: str) -> str:
    parts = urlsplit(value)
    if not parts.hostname or parts.port == 0 or "#" in value:
        raise ValueError("is not the URL of a webhook; write https://hooks.example.com/gateway")
    if parts.username is not None:
        raise ValueError("must not contain credentials")
    return value


class AlarmSettings(Settings):
    """A signed POST to a webhook whenever a session ends as stolen."""

    url: Annotated[str, Field(pattern=r"^https?://[!-~]+$"), AfterValidator(_webhook)]
    """Where to."""
    secret_file: FilePath
    """A file with the secret of the signature: at least 32 bytes."""
