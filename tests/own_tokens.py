"""The gateway's own keys and sessions, for tests."""

import json
from functools import cache
from typing import Any

from gateway.model.session import Session
from gateway.tokens.own_keys import Keyring, OwnKeys, read_keyring
from tests.minting import ALGORITHMS, NOW, SigningKey, b64, make_key

SID = b64(bytes(range(16)))


def private_jwk(key: SigningKey, signs_from: int = NOW - 1000, /, **changes: Any) -> dict[str, Any]:
    """Return a member of a key file for access tokens. `changes` overrides members; None leaves one out."""
    jwk = dict(ALGORITHMS[key.alg].to_jwk(key.private, as_dict=True))
    members = {**jwk, "key_ops": None, "kid": key.kid, "alg": key.alg, "use": "sig", "signs_from": signs_from}
    return {name: value for name, value in {**members, **changes}.items() if value is not None}


def refresh_jwk(number: int = 0, signs_from: int = NOW - 1000, /, **changes: Any) -> dict[str, Any]:
    """Return a member of a key file for refresh tokens."""
    secret = b64(b"%032d" % number)
    members = {
        "kty": "oct",
        "k": secret,
        "kid": str(number),
        "alg": "HS256",
        "use": "refresh",
        "signs_from": signs_from,
    }
    return {name: value for name, value in {**members, **changes}.items() if value is not None}


def key_file(*members: Any) -> bytes:
    return json.dumps({"keys": members}).encode()


def keyring(*members: dict[str, Any], now: float = NOW) -> Keyring:
    return read_keyring(key_file(*members), lambda: now)


@cache
def usual_keys(alg: str = "EdDSA") -> Keyring:
    """Return one key for access tokens, with the kid `a1`, and one for refresh tokens, with the kid 0."""
    return keyring(private_jwk(make_key(alg, "a1")), refresh_jwk())


def own_keys(alg: str = "EdDSA") -> OwnKeys:
    return OwnKeys(usual_keys(alg))


def a_session(**changes: Any) -> Session:
    session = Session(
        sid=SID,
        subject="alice",
        client_id="web",
        generation=3,
        rotated_at_ms=NOW * 1000 + 123,
        access_issued_at=NOW,
        access_lifetime=600,
        created_at=NOW - 5000,
        last_used_at=NOW,
        idle_expires_at=NOW + 7 * 86400,
        absolute_expires_at=NOW + 30 * 86400,
        scope="orders:read orders:write",
        access_scope="orders:read",
        salt=b"saltsalt",
        refresh_kid=0,
        signing_kid="a1",
        claims={"roles": ["admin"], "plan": {"b": 1, "a": [2]}},
        version=4,
    )
    return session._replace(**changes)
