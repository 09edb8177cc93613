"""Signing tokens with the gateway's own keys."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway.tokens.thumbprint import thumbprint

PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_CURVE_ALGORITHMS = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


class UnusableKey(ValueError):
    """A private key that cannot or must not sign."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key and the one algorithm it signs with. `jwk` is its public half, as published."""

    kid: str
    algorithm: str
    private_key: PrivateKey
    jwk: Mapping[str, Any]

    def sign(self, claims: Mapping[str, Any], *, typ: str) -> str:
        """Return the claims as a JWS in compact form (RFC 7515 §3.1)."""
        payload = json.dumps(claims, separators=(",", ":")).encode()
        headers = {"typ": typ, "kid": self.kid}
        return jwt.api_jws.encode(payload, self.private_key, algorithm=self.algorithm, headers=headers)


def signing_key(pem: bytes) -> SigningKey:
    """Return the key in an unencrypted PEM file: Ed25519, P-256, P-384, P-521, or RSA of at least 2048 bits.

    Raises UnusableKey.
    """
    try:
        private_key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UnusableKey("is not an unencrypted PEM private key") from error
    if isinstance(private_key, ed25519.Ed25519PrivateKey):
        return _with_public_half(private_key, "EdDSA")
    if isinstance(private_key, ec.EllipticCurvePrivateKey) and private_key.curve.name in _CURVE_ALGORITHMS:
        return _with_public_half(private_key, _CURVE_ALGORITHMS[private_key.curve.name])
    if isinstance(private_key, rsa.RSAPrivateKey) and private_key.key_size >= 2048:
        return _with_public_half(private_key, "RS256")
    raise UnusableKey("is not an Ed25519, P-256, P-384, P-521 or RSA (2048 bits or more) key")


def _with_public_half(private_key: PrivateKey, algorithm: str) -> SigningKey:
    public: dict[str, Any] = jwt.algorithms.get_default_algorithms()[algorithm].to_jwk(
        private_key.public_key(), as_dict=True
    )
    public = {name: value for name, value in public.items() if name != "key_ops"}
    kid = thumbprint(public)
    return SigningKey(kid, algorithm, private_key, {**public, "kid": kid, "alg": algorithm, "use": "sig"})
