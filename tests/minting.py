"""Keys and tokens for tests, good and bad."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from jwt.algorithms import get_default_algorithms

ISSUER = "https://gw.example"
AUDIENCE = "https://api.example"
NOW = 1_800_000_000

ALGORITHMS = get_default_algorithms()


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that signs with `alg`. `private` is what PyJWT signs with: a private key, or the bytes of a secret."""

    alg: str
    kid: str | None
    private: Any

    def sign(self, claims: Mapping[str, Any] | bytes, **header: Any) -> str:
        """Return a token. `header` overrides the usual members; None leaves one out. Bytes are the payload as it is."""
        members = {"alg": self.alg, "kid": self.kid, "typ": "at+jwt", **header}
        head = json.dumps({name: value for name, value in members.items() if value is not None}).encode()
        payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
        return self.seal(head, payload)

    def seal(self, header: bytes, payload: bytes) -> str:
        """Return a token of exactly these bytes, however wrong they are."""
        signing_input = f"{b64(header)}.{b64(payload)}"
        return f"{signing_input}.{b64(ALGORITHMS[self.alg].sign(signing_input.encode(), self.private))}"

    def jwk(self, **changes: Any) -> dict[str, Any]:
        """Return the public JWK (for a secret: the whole key). `changes` overrides members; None leaves one out."""
        key = self.private if isinstance(self.private, bytes) else self.private.public_key()
        jwk = dict(ALGORITHMS[self.alg].to_jwk(key, as_dict=True))
        members = {**jwk, "key_ops": None, "kid": self.kid, "alg": self.alg, "use": "sig", **changes}
        return {name: value for name, value in members.items() if value is not None}

    def public_pem(self) -> bytes:
        pem: bytes = self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return pem

    def private_pem(self) -> bytes:
        pem: bytes = self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return pem


@cache
def make_key(alg: str, kid: str | None = None, *, bits: int = 2048) -> SigningKey:
    """Return the key of this name: the same one each time, as RSA keys take long to make."""
    return SigningKey(alg, kid, _private(alg, bits))


def jwks(*keys: SigningKey | Mapping[str, Any]) -> bytes:
    """Return a JWK set."""
    return json.dumps({"keys": [key.jwk() if isinstance(key, SigningKey) else key for key in keys]}).encode()


def access_claims(now: float = NOW, **changes: Any) -> dict[str, Any]:
    """Return good claims (RFC 9068 §2.2). `changes` overrides some; None leaves one out."""
    claims = {
        "iss": ISSUER,
        "sub": "alice",
        "aud": AUDIENCE,
        "client_id": "web",
        "iat": int(now) - 10,
        "exp": int(now) + 600,
        "jti": "token-1",
        "scope": "orders:read orders:write",
        **changes,
    }
    return {name: value for name, value in claims.items() if value is not None}


def b64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _private(alg: str, bits: int) -> Any:
    match alg:
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case "ES384":
            return ec.generate_private_key(ec.SECP384R1())
        case "ES512":
            return ec.generate_private_key(ec.SECP521R1())
        case "ES256K":
            return ec.generate_private_key(ec.SECP256K1())
        case "EdDSA":
            return Ed25519PrivateKey.generate()
        case "Ed448":
            return Ed448PrivateKey.generate()
        case "HS256" | "HS384" | "HS512":
            return b"0123456789abcdef" * 4
    return generate_private_key(public_exponent=65537, key_size=bits)
