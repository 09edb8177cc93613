"""Private keys for trying things out: made, written and read."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Protocol

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jwt.algorithms import get_default_algorithms
from jwt.exceptions import InvalidKeyError

from gateway.tokens.key_documents import BadKey, KeyRules, key_from_secret, secret_in
from gateway.tokens.keys import RSA_ALGORITHMS
from gateway.tokens.signing import PrivateKey, SigningKey, UnusableKey, signing_key
from gateway.tokens.strict_json import NotStrictJson, read_object

NEW_KEY_ALGORITHMS: Final = ("EdDSA", "ES256", "RS256")
_RSA_BITS = 2048


def write_key_pair(algorithm: str, private: Path, jwks: Path) -> SigningKey:
    """Make a key. Writes it to `private` (PEM, for the owner only), and a JWK set with its public half to `jwks`.

    Raises FileExistsError if there is one of the files, OSError if one cannot be written; then there is none of them.
    """
    for file in (private, jwks):
        if file.exists():
            raise FileExistsError(f"{file} exists and is not overwritten")
    pem = _pem(new_private_key(algorithm))
    key = signing_key(pem)
    write_new(private, pem, mode=0o600)
    try:
        write_new(jwks, json.dumps({"keys": [dict(key.jwk)]}, indent=2).encode() + b"\n", mode=0o644)
    except OSError:
        private.unlink()
        raise
    return key


def write_new(file: Path, content: bytes, *, mode: int) -> None:
    """Write a file that is never readable for more than `mode` says. Raises FileExistsError."""
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
        stream.write(content)


def read_signing_key(file: Path, *, kid: str | None = None, algorithm: str | None = None) -> SigningKey:
    """Return the key in a PEM file, a JWK or a JWK set. `kid` and `algorithm` override what the file says.

    Of a set with several private keys, it is the one with this `kid`. Raises UnusableKey, OSError.
    """
    content = file.read_bytes()
    if b"-----BEGIN " in content:
        key = signing_key(content)
    else:
        jwk = _private_jwk(content, kid)
        key = signing_key(_pem(_from_jwk(jwk)))
        key = replace(key, kid=jwk.get("kid", key.kid), algorithm=_fitting(key, jwk.get("alg")))
    return replace(key, kid=kid or key.kid, algorithm=_fitting(key, algorithm))


class Signer(Protocol):
    def sign(self, claims: Mapping[str, Any], *, typ: str) -> str:
        """Return the claims as a JWS in compact form."""


@dataclass(frozen=True, slots=True)
class Secret:
    """An HMAC secret, to sign with as other issuers do: also without a `kid`."""

    key: bytes = field(repr=False)
    algorithm: str
    kid: str | None

    def sign(self, claims: Mapping[str, Any], *, typ: str) -> str:
        headers = {"typ": typ} if self.kid is None else {"typ": typ, "kid": self.kid}
        payload = json.dumps(claims, separators=(",", ":")).encode()
        return jwt.api_jws.encode(payload, self.key, algorithm=self.algorithm, headers=headers)


def read_secret(file: Path, *, kid: str | None, algorithm: str) -> Secret:
    """Return the secret in a file, without a final line break. Raises UnusableKey, OSError."""
    try:
        key = key_from_secret(secret_in(file.read_bytes()), KeyRules(symmetric=True))
    except BadKey as error:
        raise UnusableKey(f"is {error}") from error
    if algorithm not in key.algorithms:
        raise UnusableKey(f"is too short for {algorithm}, or is no secret for it")
    return Secret(key.material, algorithm, kid)


def new_private_key(algorithm: str) -> PrivateKey:
    """Return a new key. Raises UnusableKey for an algorithm that is not one of NEW_KEY_ALGORITHMS."""
    match algorithm:
        case "EdDSA":
            return ed25519.Ed25519PrivateKey.generate()
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case "RS256":
            return rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS)
    raise UnusableKey(f"no keys are made for {algorithm}")


def _pem(key: PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _private_jwk(content: bytes, kid: str | None) -> Mapping[str, Any]:
    try:
        document = read_object(content)
    except NotStrictJson as error:
        raise UnusableKey(f"is neither PEM nor a JWK nor a JWK set: {error}") from error
    members = document["keys"] if isinstance(document.get("keys"), list) else [document]
    private = [jwk for jwk in members if isinstance(jwk, dict) and "d" in jwk]
    if len(private) > 1:
        private = [jwk for jwk in private if jwk.get("kid") == kid]
    if len(private) != 1:
        raise UnusableKey("does not hold exactly one private key (with this kid, where it holds several)")
    return private[0]


def _from_jwk(jwk: Mapping[str, Any]) -> PrivateKey:
    algorithm = {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}.get(jwk.get("kty", ""))
    if algorithm is None:
        raise UnusableKey("is not an RSA, EC or OKP key")
    try:
        key: PrivateKey = get_default_algorithms()[algorithm].from_jwk(dict(jwk))
    except (InvalidKeyError, ValueError, KeyError, TypeError) as error:
        raise UnusableKey("is not a valid private JWK") from error
    return key


def _fitting(key: SigningKey, algorithm: str | None) -> str:
    if algorithm is None or algorithm == key.algorithm:
        return key.algorithm
    if key.algorithm in RSA_ALGORITHMS and algorithm in RSA_ALGORITHMS:
        return algorithm
    raise UnusableKey(f"does not fit {algorithm}; it is a key for {key.algorithm}")
