"""The keys and tokens of one run: made at its start, gone with its temporary directory."""

import datetime
import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from jwt.algorithms import RSAAlgorithm

ISSUER: Final = "https://bench.example"
AUDIENCE: Final = "https://api.example"
REQUIRED_SCOPE: Final = "orders:read"
SCOPE: Final = f"openid profile {REQUIRED_SCOPE} orders:write"
INJECTED: Final = {"X-User-Id": "sub", "X-User-Email": "email", "X-Scope": "scope"}
REVOKED: Final = "token-revoked"
"""The `jti` of a token that is revoked where there are revocations."""

_KID: Final = "bench-1"
_HOUR: Final = 3600
_SIGNED_TOGETHER: Final = 500


@dataclass(frozen=True, slots=True)
class Material:
    """The files a contender or the load generator reads, and tokens that must be refused.

    Token number N of `tokens`, `expired` and `new` is that of user N. `new` are more than anybody remembers.
    """

    public_key: Path
    jwks: Path
    certificate: Path
    certificate_key: Path
    tokens: Path
    expired: Path
    new: Path
    valid: str
    revoked: str
    refused: Mapping[str, tuple[str, tuple[int, ...]]]
    """What is wrong with the token → the token and the statuses that are right."""


def make_material(directory: Path, count: int, new: int = 0) -> Material:
    """Write a public key, a key set, a certificate and `count` different valid tokens; private keys of tokens stay in
    memory."""
    key = generate_private_key(public_exponent=65537, key_size=2048)
    public_key, jwks = directory / "public.pem", directory / "jwks.json"
    public_key.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    jwks.write_text(json.dumps({"keys": [_public_jwk(key)]}))
    certificate, certificate_key = _make_certificate(directory)
    now = int(time.time())
    valid = _signed(key, now, range(count))
    return Material(
        public_key,
        jwks,
        certificate,
        certificate_key,
        _write(directory / "tokens.txt", valid),
        _write(directory / "expired.txt", _signed(key, now - 2 * _HOUR, range(count))),
        _write(directory / "new.txt", _signed(key, now, range(new))),
        valid[0],
        _sign(key, {**_claims(now, 999_998), "jti": REVOKED}),
        _refused(key, now),
    )


def expected_headers(token: str) -> dict[str, str]:
    """Return the headers the upstream must see for `token`, which is one of ours and is not verified again."""
    claims = jwt.decode(token, options={"verify_signature": False})
    return {header: claims[claim] for header, claim in INJECTED.items()}


def _public_jwk(key: RSAPrivateKey) -> dict[str, Any]:
    return {**RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": _KID, "alg": "RS256", "use": "sig"}


def _claims(issued_at: int, number: int) -> dict[str, Any]:
    return {
        "iss": ISSUER,
        "sub": f"user-{number:06d}",
        "aud": AUDIENCE,
        "iat": issued_at,
        "exp": issued_at + _HOUR,
        "jti": f"token-{number:06d}",
        "client_id": "bench-client",
        "scope": SCOPE,
        "email": f"user-{number:06d}@example.com",
    }


def _sign(key: RSAPrivateKey | bytes, claims: dict[str, Any]) -> str:
    return jwt.encode(claims, key, algorithm="RS256", headers={"typ": "at+jwt", "kid": _KID})


def _signed(key: RSAPrivateKey, issued_at: int, numbers: range) -> list[str]:
    """Sign the tokens of these users: many of them by processes side by side, since each takes half a millisecond."""
    if len(numbers) <= _SIGNED_TOGETHER:
        return [_sign(key, _claims(issued_at, number)) for number in numbers]
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    parts = [numbers[at : at + _SIGNED_TOGETHER] for at in range(0, len(numbers), _SIGNED_TOGETHER)]
    with ProcessPoolExecutor() as pool:
        return [token for part in pool.map(partial(_sign_part, pem, issued_at), parts) for token in part]


def _sign_part(pem: bytes, issued_at: int, numbers: range) -> list[str]:
    key = RSAAlgorithm(RSAAlgorithm.SHA256).prepare_key(pem)
    assert isinstance(key, RSAPrivateKey)
    return [_sign(key, _claims(issued_at, number)) for number in numbers]


def _write(path: Path, tokens: Sequence[str]) -> Path:
    path.write_text("".join(f"{token}\n" for token in tokens))
    return path


def _refused(key: RSAPrivateKey, now: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    claims = _claims(now, 999_999)
    stranger = generate_private_key(public_exponent=65537, key_size=2048)
    return {
        "expired": (_sign(key, _claims(now - 2 * _HOUR, 999_999)), (401,)),
        "from another issuer": (_sign(key, {**claims, "iss": "https://other.example"}), (401,)),
        # Envoy says 403.
        "for another audience": (_sign(key, {**claims, "aud": "https://other.example"}), (401, 403)),
        "signed by another key": (_sign(stranger, claims), (401,)),
        "without the scope": (_sign(key, {**claims, "scope": "openid profile"}), (403,)),
    }


def _make_certificate(directory: Path) -> tuple[Path, Path]:
    """Write a certificate for the TLS listeners, signed by itself, and its key."""
    certificate, file = directory / "certificate.pem", directory / "certificate-key.pem"
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    hour = datetime.timedelta(hours=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - hour, now + hour)
    certificate.write_bytes(builder.sign(key, SHA256()).public_bytes(Encoding.PEM))
    file.touch(mode=0o600)
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate, file
