"""The keys and tokens of one run: made at its start, gone with its temporary directory."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm

ISSUER: Final = "https://bench.example"
AUDIENCE: Final = "https://api.example"
REQUIRED_SCOPE: Final = "orders:read"
INJECTED: Final = {"X-User-Id": "sub", "X-User-Email": "email", "X-Scope": "scope"}

_KID: Final = "bench-1"
_HOUR: Final = 3600


@dataclass(frozen=True, slots=True)
class Material:
    """The files a contender or the load generator reads, and tokens that must be refused."""

    public_key: Path
    jwks: Path
    tokens: Path
    valid: str
    refused: Mapping[str, tuple[str, int]]
    """What is wrong with the token → the token and the status it must get."""


def make_material(directory: Path, count: int) -> Material:
    """Write a public key, a key set and `count` different valid tokens; the private key stays in memory."""
    key = generate_private_key(public_exponent=65537, key_size=2048)
    public_key, jwks, tokens = directory / "public.pem", directory / "jwks.json", directory / "tokens.txt"
    public_key.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    jwks.write_text(json.dumps({"keys": [_public_jwk(key)]}))
    valid = [_sign(key, _claims(number)) for number in range(count)]
    tokens.write_text("\n".join(valid) + "\n")
    return Material(public_key, jwks, tokens, valid[0], _refused(key))


def expected_headers(token: str) -> dict[str, str]:
    """Return the headers the upstream must see for `token`, which is one of ours and is not verified again."""
    claims = jwt.decode(token, options={"verify_signature": False})
    return {header: claims[claim] for header, claim in INJECTED.items()}


def _public_jwk(key: RSAPrivateKey) -> dict[str, Any]:
    return {**RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": _KID, "alg": "RS256", "use": "sig"}


def _claims(number: int) -> dict[str, Any]:
    now = int(time.time())
    return {
        "iss": ISSUER,
        "sub": f"user-{number:06d}",
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + _HOUR,
        "jti": f"token-{number:06d}",
        "client_id": "bench-client",
        "scope": f"openid profile {REQUIRED_SCOPE} orders:write",
        "email": f"user-{number:06d}@example.com",
    }


def _sign(key: RSAPrivateKey, claims: dict[str, Any]) -> str:
    return jwt.encode(claims, key, algorithm="RS256", headers={"typ": "at+jwt", "kid": _KID})


def _refused(key: RSAPrivateKey) -> dict[str, tuple[str, int]]:
    claims = _claims(999_999)
    stranger = generate_private_key(public_exponent=65537, key_size=2048)
    return {
        "expired": (_sign(key, {**claims, "iat": claims["iat"] - 2 * _HOUR, "exp": claims["exp"] - 2 * _HOUR}), 401),
        "from another issuer": (_sign(key, {**claims, "iss": "https://other.example"}), 401),
        "for another audience": (_sign(key, {**claims, "aud": "https://other.example"}), 401),
        "signed by another key": (_sign(stranger, claims), 401),
        "without the scope": (_sign(key, {**claims, "scope": "openid profile"}), 403),
    }
