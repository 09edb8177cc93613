"""Refresh tokens: the name of a session, a generation, and proof that the gateway made it.

Opaque: `rt1.` and base64url of version (1 byte), kid (1), sid (16), generation (4), checksum (4) and MAC (16). The
checksum takes the gateway's key alone, so that junk is refused before the store is asked. The MAC takes the salt of
the session's record too: neither a copy of the store nor the key alone makes a token. As a JWT (`typ: rt+jwt`), the
signature stands for the checksum and `jti` for the MAC. Both are always read, whichever is made. The record alone says
how long a token is good; the `exp` of a JWT only tells the client.
"""

import hmac
from dataclasses import dataclass, field
from typing import Any, Literal

from gateway.model.errors import InvalidToken, UnknownRefreshToken
from gateway.model.session import Session
from gateway.tokens import base64url
from gateway.tokens.jose import Jws, read_jws
from gateway.tokens.keys import ALGORITHMS
from gateway.tokens.own_keys import MAX_KID, Keyring, RefreshKey
from gateway.tokens.signing import SigningKey

Format = Literal["opaque", "jwt"]

PREFIX = "rt1."
TYPE = "rt+jwt"
_VERSION = 1
_SID, _GENERATION, _CHECKSUM, _MAC = 16, 4, 4, 16
_BODY = 2 + _SID + _GENERATION
_LENGTH = len(PREFIX) + (_BODY + _CHECKSUM + _MAC) * 4 // 3
"""The bytes are a multiple of three, so every character counts in full."""
_LAST_GENERATION = 2 ** (8 * _GENERATION) - 1


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A refresh token whose checksum fits. It is proven only when `is_genuine` says so of its session's salt."""

    sid: str
    generation: int
    body: bytes = field(repr=False)
    mac: bytes = field(repr=False)
    key: RefreshKey = field(repr=False)

    def is_genuine(self, salt: bytes) -> bool:
        """Say, in constant time, whether the gateway made this token for the session with this salt."""
        return hmac.compare_digest(self.mac, _mac(self.key, self.body, salt))


def make_refresh_token(session: Session, key: RefreshKey, issuer: str, format: Format) -> str:  # noqa: A002
    """Return the refresh token of the session's present generation: always the same for the same record and key."""
    body = _body(key.kid, session.sid, session.generation)
    mac = _mac(key, body, session.salt)
    if format == "opaque":
        return PREFIX + base64url.encode(body + _checksum(key, body) + mac)
    claims = {
        "iss": issuer,
        "sub": session.subject,
        "aud": _audience(issuer),
        "exp": session.expires_at,
        "iat": session.rotated_at_ms // 1000,
        "jti": base64url.encode(mac),
        "sid": session.sid,
        "gen": session.generation,
    }
    return SigningKey(str(key.kid), "HS256", key.derived(b"jwt"), {}).sign(claims, typ=TYPE)


def read_refresh_token(token: str, keys: Keyring, issuer: str) -> RefreshToken:
    """Return what a refresh token says, as far as the gateway's keys can vouch for it. Raises UnknownRefreshToken."""
    if token.startswith(PREFIX):
        return _read_opaque(token, keys)
    return _read_jwt(token, keys, issuer)


def looks_like_refresh_token(token: str) -> bool:
    """Say whether this would be read as a refresh token of ours. Proves nothing, never raises."""
    if token.startswith(PREFIX):
        return True
    try:
        typ = read_jws(token).header.get("typ")
    except InvalidToken:
        return False
    return type(typ) is str and typ.lower().removeprefix("application/") == TYPE


def _read_opaque(token: str, keys: Keyring) -> RefreshToken:
    if len(token) != _LENGTH or not token.isascii():
        raise UnknownRefreshToken("not of the form of an opaque refresh token")
    try:
        content = base64url.decode(token[len(PREFIX) :].encode("ascii"))
    except ValueError as error:
        raise UnknownRefreshToken(f"an opaque refresh token that is {error}") from error
    body, checksum, mac = content[:_BODY], content[_BODY:-_MAC], content[-_MAC:]
    if body[0] != _VERSION:
        raise UnknownRefreshToken(f"version {body[0]} is not known")
    key = _key(keys, body[1])
    if not hmac.compare_digest(checksum, _checksum(key, body)):
        raise UnknownRefreshToken("the checksum does not fit")
    sid = base64url.encode(body[2 : 2 + _SID])
    return RefreshToken(sid, int.from_bytes(body[2 + _SID :]), body, mac, key)


def _read_jwt(token: str, keys: Keyring, issuer: str) -> RefreshToken:
    try:
        jws = read_jws(token)
    except InvalidToken as error:
        raise UnknownRefreshToken(f"neither opaque nor a JWT: {error}") from error
    if (jws.header.get("typ"), jws.alg) != (TYPE, "HS256"):
        raise UnknownRefreshToken("a JWT, but not of the type or not with the algorithm of a refresh token")
    key = _key(keys, _kid(jws))
    if not ALGORITHMS["HS256"].verify(jws.signing_input, key.derived(b"jwt"), jws.signature):
        raise UnknownRefreshToken("the signature does not fit")
    claims = jws.payload
    if (claims.get("iss"), claims.get("aud")) != (issuer, _audience(issuer)):
        raise UnknownRefreshToken("made by, or for, another issuer")
    sid, generation = claims.get("sid"), claims.get("gen")
    mac = _bytes(claims.get("jti"), _MAC)
    _bytes(sid, _SID)
    if type(generation) is not int or not 0 <= generation <= _LAST_GENERATION:
        raise UnknownRefreshToken("gen is not a generation")
    return RefreshToken(str(sid), generation, _body(key.kid, str(sid), generation), mac, key)


def _kid(jws: Jws) -> int:
    kid = jws.kid or ""
    if not (kid.isascii() and kid.isdigit()) or len(kid) > len(str(MAX_KID)) or str(int(kid)) != kid:
        raise UnknownRefreshToken("the kid is not that of a refresh key")
    return int(kid)


def _key(keys: Keyring, kid: int) -> RefreshKey:
    key = keys.refresh_key_named(kid)
    if key is None:
        raise UnknownRefreshToken(f"no refresh key has the kid {kid}")
    return key


def _bytes(text: Any, length: int) -> bytes:
    try:
        value = base64url.decode(text.encode()) if type(text) is str else b""
    except ValueError:
        value = b""
    if len(value) != length:
        raise UnknownRefreshToken("sid or jti is not of its length")
    return value


def _audience(issuer: str) -> str:
    """Return an audience that no access token has."""
    return f"{issuer}/refresh"


def _body(kid: int, sid: str, generation: int) -> bytes:
    return bytes((_VERSION, kid)) + base64url.decode(sid.encode()) + generation.to_bytes(_GENERATION)


def _checksum(key: RefreshKey, body: bytes) -> bytes:
    return key.tag(b"checksum", body)[:_CHECKSUM]


def _mac(key: RefreshKey, body: bytes, salt: bytes) -> bytes:
    return key.tag(b"mac", body + salt)[:_MAC]
