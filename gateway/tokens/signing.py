"""Signing tokens with the gateway's own keys."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from jwt.exceptions import InvalidKeyError

from gateway.tokens import base64url
from gateway.tokens.keys import ALGORITHMS, SECRET_BYTES
from gateway.tokens.thumbprint import thumbprint

PrivateKey: TypeAlias = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey: TypeAlias = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey

_CURVE_ALGORITHMS = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_RSA_BITS = 2048
_UNKNOWN_KIND = "is not an Ed25519, P-256, P-384, P-521 or RSA (2048 bits or more) key"
_JWK_KINDS = {"EdDSA": ("OKP", "Ed25519"), "ES256": ("EC", "P-256"), "RS256": ("RSA", None), "HS256": ("oct", None)}
"""Algorithm of a private JWK → its `kty` and `crv`."""


class UnusableKey(ValueError):
    """A private key that cannot or must not sign. The message goes on after its name, and never quotes it."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key or an HMAC secret, and the one algorithm it signs with.

    `jwk` is its public half, as published. A secret has none: its `jwk` is empty.
    """

    kid: str
    algorithm: str
    private_key: PrivateKey | bytes = field(repr=False)
    jwk: Mapping[str, Any]
    _headers: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Those that were written before, by `typ`."""

    def sign(self, claims: Mapping[str, Any], *, typ: str) -> str:
        """Return the claims as a JWS in compact form (RFC 7515 §3.1)."""
        header = self._headers.get(typ)
        if header is None:
            header = self._headers[typ] = _segment({"alg": self.algorithm, "kid": self.kid, "typ": typ})
        signing_input = f"{header}.{_segment(claims)}"
        signature = ALGORITHMS[self.algorithm].sign(signing_input.encode(), self.private_key)
        return f"{signing_input}.{base64url.encode(signature)}"


def _segment(members: Mapping[str, Any]) -> str:
    return base64url.encode(_json(members).encode())


_json = json.JSONEncoder(separators=(",", ":")).encode


def signing_key(pem: bytes) -> SigningKey:
    """Return the key in an unencrypted PEM file: Ed25519, P-256, P-384, P-521, or RSA of at least 2048 bits.

    Raises UnusableKey.
    """
    try:
        private_key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UnusableKey("is not an unencrypted PEM private key") from error
    if isinstance(private_key, PrivateKey):
        return _with_public_half(private_key, _algorithm_of(private_key.public_key()))
    raise UnusableKey(_UNKNOWN_KIND)


def public_jwk(pem: bytes) -> Mapping[str, Any]:
    """Return what is published of the key in a PEM file, private or public, of the kinds that `signing_key` takes.

    Raises UnusableKey.
    """
    if b"PRIVATE KEY-----" in pem:
        return signing_key(pem).jwk
    try:
        key = load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UnusableKey("is not a PEM key, private and unencrypted, or public") from error
    if isinstance(key, PublicKey):
        return _published(key, _algorithm_of(key))
    raise UnusableKey(_UNKNOWN_KIND)


def _algorithm_of(key: PublicKey) -> str:
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "EdDSA"
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVE_ALGORITHMS:
        return _CURVE_ALGORITHMS[key.curve.name]
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= _RSA_BITS:
        return "RS256"
    raise UnusableKey(_UNKNOWN_KIND)


def signing_key_from_jwk(jwk: Mapping[str, Any]) -> SigningKey:
    """Return the key in a private JWK with `kid` and `alg`: EdDSA (Ed25519), ES256, RS256 or HS256.

    Raises UnusableKey, also if its public members are not those of the private key.
    """
    kid, algorithm = jwk.get("kid"), jwk.get("alg")
    if type(kid) is not str or not kid:
        raise UnusableKey("has no kid")
    if type(algorithm) is not str or algorithm not in _JWK_KINDS:
        raise UnusableKey(f"must have one of the algorithms {', '.join(_JWK_KINDS)} as its alg")
    if (jwk.get("kty"), jwk.get("crv")) != _JWK_KINDS[algorithm]:
        raise UnusableKey(f"does not fit its alg {algorithm}")
    if algorithm == "HS256":
        return SigningKey(kid, algorithm, secret_from_jwk(jwk), {})
    key = _with_public_half(_private_jwk(jwk, algorithm), algorithm)
    if any(jwk.get(name) != value for name, value in key.jwk.items() if name not in ("kid", "use")):
        raise UnusableKey("has public members that are not those of its private key")
    return replace(key, kid=kid, jwk={**key.jwk, "kid": kid})


def secret_from_jwk(jwk: Mapping[str, Any]) -> bytes:
    """Return the secret in an oct JWK. Raises UnusableKey if it has less than the 32 bytes that HS256 needs."""
    value = jwk.get("k")
    try:
        if jwk.get("kty") != "oct" or type(value) is not str:
            raise ValueError("no secret")
        secret = base64url.decode(value.encode())
    except ValueError as error:
        raise UnusableKey("is not a valid oct JWK") from error
    if len(secret) < SECRET_BYTES["HS256"]:
        raise UnusableKey(f"is a secret of {len(secret)} bytes; {SECRET_BYTES['HS256']} are needed")
    return secret


def _private_jwk(jwk: Mapping[str, Any], algorithm: str) -> PrivateKey:
    try:
        key = ALGORITHMS[algorithm].from_jwk(dict(jwk))
    except (InvalidKeyError, ValueError, KeyError, TypeError, UnsupportedAlgorithm) as error:
        raise UnusableKey("is not a valid private JWK") from error
    if not isinstance(key, PrivateKey):
        raise UnusableKey("has only its public half")
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < _RSA_BITS:
        raise UnusableKey(f"is an RSA key of {key.key_size} bits; {_RSA_BITS} are needed")
    return key


def _with_public_half(private_key: PrivateKey, algorithm: str) -> SigningKey:
    jwk = _published(private_key.public_key(), algorithm)
    return SigningKey(jwk["kid"], algorithm, private_key, jwk)


def _published(key: PublicKey, algorithm: str) -> dict[str, Any]:
    public: dict[str, Any] = ALGORITHMS[algorithm].to_jwk(key, as_dict=True)
    public = {name: value for name, value in public.items() if name != "key_ops"}
    kid = thumbprint(public)
    return {**public, "kid": kid, "alg": algorithm, "use": "sig"}
