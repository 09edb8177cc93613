"""Our own access tokens (RFC 9068), made from the record of a session alone.

The same record and key give the same token, byte for byte; with ES256 the same but for the signature.
"""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any, Final

from gateway.model.session import Session
from gateway.tokens import base64url
from gateway.tokens.signing import SigningKey
from gateway.tokens.verify import Expectations

TYPE: Final = "at+jwt"
RESERVED_CLAIMS: Final = frozenset(
    {"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "sid", "gen"}
    | {"client_id", "scope", "scp", "auth_time", "cnf", "act"}
)
"""Claims that no login can set: the gateway sets them, or takes them for what it said itself."""


def access_token(session: Session, key: SigningKey, issuer: str, audiences: tuple[str, ...]) -> str:
    """Return the access token of the session's present generation (RFC 9068 §2.2). There is at least one audience."""
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": session.subject,
        "aud": audiences[0] if len(audiences) == 1 else list(audiences),
        "exp": session.access_expires_at,
        "iat": session.access_issued_at,
        "jti": access_token_id(session),
        "client_id": session.client_id,
        "sid": session.sid,
        "gen": session.generation,
        "auth_time": session.created_at,
    }
    if session.access_scope:
        claims["scope"] = session.access_scope
    own = session.claims
    for name in sorted(own):
        if name not in RESERVED_CLAIMS:
            claims[name] = _ordered(own[name])
    return key.sign(claims, typ=TYPE)


def access_token_id(session: Session) -> str:
    """Return the `jti` of the session's present access token."""
    text = f"{session.sid}.{session.generation}.{session.access_issued_at}"
    return base64url.encode(blake2b(text.encode(), digest_size=16, person=b"access token id").digest())


def own_expectations(issuer: str, audiences: Iterable[str], *, leeway: float = 5) -> Expectations:
    """Return what our own access tokens must look like. Each key is bound to its own one of the algorithms."""
    return Expectations(
        issuer=issuer,
        audiences=frozenset(audiences),
        algorithms=frozenset({"EdDSA", "ES256", "RS256", "HS256"}),
        types=frozenset({TYPE}),
        leeway=leeway,
        required_claims=("iat", "jti", "client_id", "sid", "gen", "auth_time"),
    )


def _ordered(value: Any) -> Any:
    """Return a JSON value with its members in order: a store may return them in another one than they came in."""
    if isinstance(value, dict):
        return {name: _ordered(value[name]) for name in sorted(value)}
    if isinstance(value, list | tuple):
        return [_ordered(item) for item in value]
    return value
