"""Requests, principals and routes for tests of the judgement."""

from typing import Any

from gateway.engine.paths import path_pattern
from gateway.engine.routes import Route
from gateway.mechanisms.authorization import AuthorizationHeader
from gateway.mechanisms.base import TokenSource
from gateway.mechanisms.sources import CookieSource, HeaderSource, SubprotocolSource
from gateway.model.principal import Principal
from gateway.model.request import InboundRequest, Peer
from tests.minting import ISSUER, NOW

CLIENT = Peer("192.0.2.7")
PROXY = Peer("10.0.0.1", is_trusted_proxy=True)

HEADER: TokenSource = AuthorizationHeader()
ACCESS_TOKEN: TokenSource = HeaderSource(header="X-Access-Token")
COOKIE: TokenSource = CookieSource(cookie="at", origins=frozenset({"https://app.example"}))
SUBPROTOCOL: TokenSource = SubprotocolSource(subprotocol="bearer.")


def request(
    *lines: str,
    method: str = "GET",
    target: str | bytes = "/",
    host: str | None = "api.example",
    peer: Peer = CLIENT,
    secure: bool = False,
    version: str = "1.1",
) -> InboundRequest:
    """Return a request with these header lines, `Name: value`, and a Host."""
    headers = [] if host is None else [("Host", host)]
    for line in lines:
        name, _, value = line.partition(":")
        headers.append((name, value.strip(" ")))
    return InboundRequest(
        method,
        target.encode() if isinstance(target, str) else target,
        [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers],
        peer,
        secure=secure,
        version=version,
    )


def principal(claims: dict[str, Any] | None = None, **changes: Any) -> Principal:
    """Return a user, with `sub` and these claims."""
    claims = {"iss": ISSUER, "sub": "alice", **(claims or {})}
    values: dict[str, Any] = {
        "subject": claims["sub"],
        "issuer": ISSUER,
        "type": "user",
        "claims": claims,
        "scopes": frozenset(),
        "issued_at": NOW,
        "expires_at": NOW + 600,
        "usable_until": NOW + 605,
        "token_id": None,
        "client_id": None,
        "authenticator": "idp",
        "verified_by": "key-1",
        **changes,
    }
    return Principal(**values)


def route(path: str = "/**", **changes: Any) -> Route:
    """Return a route; its id is its path unless another is given."""
    return Route(**{"id": path, "path": path_pattern(path), "upstream": "orders", **changes})
