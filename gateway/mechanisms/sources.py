"""Where a token is looked for in a request.

A token in the query string is never looked for: it is ignored and stripped (OAuth 2.1 §5.1).
"""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from gateway.mechanisms.authorization import AuthorizationHeader, token68
from gateway.mechanisms.base import Credentials
from gateway.model.errors import CrossSiteRequest, SeveralCredentials
from gateway.model.request import InboundRequest
from gateway.model.settings import HeaderName, Origin, Settings

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""RFC 9110 §9.2.1, without TRACE."""


class HeaderSource(Settings):
    """Another header, holding the token and nothing else."""

    header: HeaderName
    """The header's name, for example `X-Access-Token`."""

    @property
    def place(self) -> str:
        return self.header

    @property
    def credentials(self) -> Credentials:
        return Credentials(headers=frozenset({self.header.lower().encode()}))

    def find(self, request: InboundRequest) -> str | None:
        values = request.all(self.header.lower().encode())
        if not values:
            return None
        if len(values) > 1:
            raise SeveralCredentials(f"{len(values)} {self.header} headers")
        return token68(values[0])


class CookieSource(Settings):
    """A cookie. Unsafe methods and upgrades need an allowed `Origin`, or `Sec-Fetch-Site: same-origin`."""

    cookie: Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")]
    """The cookie's name."""
    origins: frozenset[Origin] = frozenset()
    """Origins whose pages may send unsafe requests with the cookie, for example `https://app.example.com`."""

    @property
    def place(self) -> str:
        return f"cookie {self.cookie}"

    @property
    def credentials(self) -> Credentials:
        return Credentials(cookies=frozenset({self.cookie.encode()}))

    def find(self, request: InboundRequest) -> str | None:
        name = self.cookie.encode()
        values = [value for cookie, value in request.cookies if cookie == name]
        if not values:
            return None
        if len(values) > 1:
            raise SeveralCredentials(f"{len(values)} cookies named {self.cookie}")
        if request.method not in SAFE_METHODS or request.upgrade is not None:
            self._require_own_site(request)
        return token68(values[0])

    def _require_own_site(self, request: InboundRequest) -> None:
        origin = (request.one(b"origin") or b"").decode("latin-1")
        fetch_site = (request.one(b"sec-fetch-site") or b"").decode("latin-1")
        if not is_from_own_site(origin, fetch_site, self.origins):
            sender = f"origin {origin[:100]!r}" if origin else "a request without Origin"
            raise CrossSiteRequest(f"{sender} may not send the cookie {self.cookie}")


def is_from_own_site(origin: str, fetch_site: str, origins: frozenset[str]) -> bool:
    """Say whether `Origin` and `Sec-Fetch-Site` prove that one of our pages sent a request, and not another site's."""
    return origin in origins or fetch_site == "same-origin"


class SubprotocolSource(Settings):
    """A WebSocket subprotocol entry `<prefix><token>`: browsers cannot set `Authorization` on a WebSocket."""

    subprotocol: Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$", min_length=2)] = "bearer."
    """The prefix of the entry that carries the token. The entry is removed; the application's own entries are kept."""

    @property
    def place(self) -> str:
        return f"subprotocol {self.subprotocol}<token>"

    @property
    def credentials(self) -> Credentials:
        return Credentials(subprotocol_prefixes=frozenset({self.subprotocol.encode()}))

    def find(self, request: InboundRequest) -> str | None:
        if request.upgrade != b"websocket":
            return None
        prefix = self.subprotocol.encode()
        tokens = [entry for entry in request.listed(b"sec-websocket-protocol") if entry.startswith(prefix)]
        if not tokens:
            return None
        if len(tokens) > 1:
            raise SeveralCredentials(f"{len(tokens)} subprotocols start with {self.subprotocol}")
        return token68(tokens[0].removeprefix(prefix))


def _kind(value: object) -> str | None:
    if value == "authorization":
        return "authorization"
    for kind in ("header", "cookie", "subprotocol"):
        if (isinstance(value, dict) and kind in value) or hasattr(value, kind):
            return kind
    return None


TokenSourceSettings = Annotated[
    Annotated[Literal["authorization"], Tag("authorization")]
    | Annotated[HeaderSource, Tag("header")]
    | Annotated[CookieSource, Tag("cookie")]
    | Annotated[SubprotocolSource, Tag("subprotocol")],
    Discriminator(
        _kind,
        custom_error_type="unknown_token_source",
        custom_error_message="must be authorization, or have one of the keys header, cookie, subprotocol",
    ),
]
"""Every token source there is."""


def token_source(
    settings: TokenSourceSettings,
) -> AuthorizationHeader | HeaderSource | CookieSource | SubprotocolSource:
    """Return the source that a setting names."""
    return AuthorizationHeader() if settings == "authorization" else settings
