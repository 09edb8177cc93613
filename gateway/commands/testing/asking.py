"""The request of a case, as it would arrive: its headers, its token."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.commands.testing.cases import Caller, Defaults, Request
from gateway.commands.testing.standing_in import Signer
from gateway.config.schema import Config
from gateway.mechanisms.authenticators.issued import IssuedSettings
from gateway.mechanisms.authenticators.jwt import JwtSettings
from gateway.model.request import Header, InboundRequest, Peer
from gateway.model.revocation import FOREVER, Level, Revocation, mark, token_name
from gateway.tokens.issue import TYPE

_A_MINUTE = 60


@dataclass(frozen=True, slots=True)
class Presented:
    """A token, and what makes it void."""

    token: str
    place: str
    revocation: Revocation


def presented(name: str, caller: Caller, config: Config, signers: Mapping[str, Signer], now: float) -> Presented:
    """Return the token that a caller sends at `now` (Unix seconds)."""
    chosen = caller.authenticator or next(iter(config.authenticators))
    settings, signer = config.authenticators[chosen], signers[chosen]
    claims = _claims(name, caller, settings, config, now)
    typ = caller.typ or _usual_type(settings)
    token = (signer.stranger() if caller.forged else signer).sign(claims, None if typ == "absent" else typ)
    jti = claims.get("jti")
    revoked = mark(Level.TOKEN, str(claims.get("iss")), jti if isinstance(jti, str) else token_name(token))
    return Presented(token, caller.sent_in, Revocation(Level.TOKEN, revoked, FOREVER, FOREVER, 0))


def inbound(asked: Request, defaults: Defaults, peer: Peer, shown: Presented | None) -> InboundRequest:
    """Return a request as the gatekeeper gets it. Nothing is normalised."""
    headers: list[Header] = [(b"Host", _bytes(asked.host or defaults.host))]
    given = {name.lower() for name in asked.headers}
    several = [(name, values) for name, values in defaults.headers.items() if name.lower() not in given]
    several += [(name, values) for name, values in asked.headers.items() if values is not None]
    if "host" in {name.lower() for name, _ in several}:
        headers.clear()
    headers += [(_bytes(name), _bytes(value.strip(" \t"))) for name, values in several for value in values]
    if shown is not None:
        headers.append(_with_token(shown))
    secure = defaults.https if asked.https is None else asked.https
    return InboundRequest(asked.method, _bytes(asked.path), headers, peer, secure=secure)


def _with_token(shown: Presented) -> Header:
    kind, _, name = shown.place.partition(" ")
    if kind == "cookie":
        return b"Cookie", _bytes(f"{name}={shown.token}")
    return (
        (_bytes(name), _bytes(shown.token)) if kind == "header" else (b"Authorization", _bytes(f"Bearer {shown.token}"))
    )


def _claims(
    name: str, caller: Caller, settings: JwtSettings | IssuedSettings, config: Config, now: float
) -> dict[str, Any]:
    issued_at = int(now - caller.age)
    expires_at = issued_at + int(caller.lifetime)
    if caller.expired:
        expires_at = int(now - settings.leeway) - _A_MINUTE
        issued_at = min(issued_at, expires_at - int(caller.lifetime))
    claims = {"sub": name, **_of_issuer(settings, config), "iat": issued_at, "exp": expires_at}
    claims["jti"] = secrets.token_hex(8)
    if isinstance(settings, IssuedSettings):
        claims |= {"client_id": "test", "sid": secrets.token_hex(11)[:21] + "A", "gen": 0, "auth_time": issued_at}
    if caller.login_age is not None:
        claims["auth_time"] = int(now - caller.login_age)
    return {name: value for name, value in (claims | caller.claims).items() if value is not None}


def _of_issuer(settings: JwtSettings | IssuedSettings, config: Config) -> dict[str, Any]:
    if isinstance(settings, JwtSettings):
        return {"iss": settings.issuer, "aud": settings.audiences[0] if settings.audiences else None}
    assert config.sessions is not None
    return {"iss": config.sessions.issuer, "aud": config.sessions.audiences[0]}


def _usual_type(settings: JwtSettings | IssuedSettings) -> str:
    return settings.typ[0] if isinstance(settings, JwtSettings) else TYPE


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
