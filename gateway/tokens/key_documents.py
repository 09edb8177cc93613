"""Keys out of JWK sets, PEM files and secret files; what is weak or not for verification is kept out.

A key that is meant for something else, or of a kind not known here, is passed over (RFC 7517 §5). A key that pretends
to be usable and must not be raises BadKey; whether that is a mistake (a configured file) or only worth a notice (a
remote set) is the caller's to say.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import InvalidKeyError

from gateway.tokens import base64url
from gateway.tokens.keys import ALGORITHMS, CURVE_ALGORITHMS, RSA_ALGORITHMS, SECRET_BYTES, Key, KeySet
from gateway.tokens.strict_json import NotStrictJson, read_object
from gateway.tokens.thumbprint import thumbprint

MAX_KEYS = 100
RSA_BITS = 2048
"""RFC 7518 §3.3."""
WEAK_RSA_BITS = 1024
"""The least that is taken even where weak RSA keys are accepted."""

PublicKey = RSAPublicKey | ec.EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey


class BadKey(ValueError):
    """A key or a set of keys that must not be used. The message never quotes key material."""


@dataclass(frozen=True, slots=True)
class KeyRules:
    """What may be taken. As they stand, the rules are those for a remote set."""

    symmetric: bool = False
    weak_rsa: bool = False
    short_secrets: bool = False


def read_jwks(document: bytes, rules: KeyRules) -> tuple[KeySet, tuple[str, ...]]:
    """Return the usable keys of a JWK set (RFC 7517 §5), and what is wrong with the bad ones.

    Raises BadKey if it is no such set.
    """
    try:
        jwks = read_object(document).get("keys")
    except NotStrictJson as error:
        raise BadKey(f"not a JWK set: {error}") from error
    if type(jwks) is not list:
        raise BadKey("not a JWK set: no array `keys`")
    if len(jwks) > MAX_KEYS:
        raise BadKey(f"more than {MAX_KEYS} keys")
    keys, problems = [], []
    for number, jwk in enumerate(jwks, 1):
        try:
            key = key_from_jwk(jwk, rules)
        except BadKey as error:
            problems.append(f"key {number}: {error}")
        else:
            keys += [key] if key else []
    return KeySet(keys), tuple(problems)


def key_from_jwk(jwk: Any, rules: KeyRules) -> Key | None:
    """Return the key, only its public part; None if it is not for verifying signatures or of an unknown kind.

    Raises BadKey.
    """
    if type(jwk) is not dict:
        raise BadKey("not a JSON object")
    if not _is_for_verifying(jwk):
        return None
    kid, alg = jwk.get("kid"), jwk.get("alg")
    if not isinstance(kid, str | None):
        raise BadKey("the kid is not a string")
    key = _secret_jwk(jwk, kid, rules) if jwk["kty"] == "oct" else _public_key(_public_jwk(jwk), kid, rules)
    if alg is None:
        return key
    if alg not in key.algorithms:
        raise BadKey(f"the key does not fit its alg {alg}")
    return Key(key.kid, key.kty, frozenset({alg}), key.thumbprint, key.material)


def key_from_pem(content: bytes, rules: KeyRules) -> Key:
    """Return the key, without a kid, of a PEM public key or certificate (its dates do not matter). Raises BadKey."""
    if b"PRIVATE KEY-----" in content:
        raise BadKey("a private key; only the public key belongs here")
    if content.count(b"-----BEGIN ") != 1:
        raise BadKey("not exactly one PEM block; a JWK set can hold several keys")
    try:
        if b"-----BEGIN CERTIFICATE-----" in content:
            public: Any = load_pem_x509_certificate(content).public_key()
        else:
            public = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadKey("not a PEM public key or certificate") from error
    return _public_key(public, None, rules)


def secret_in(content: bytes) -> bytes:
    """Return the secret in a file's content: all of it but a final line break."""
    return content.removesuffix(b"\n").removesuffix(b"\r")


def key_from_secret(content: bytes, rules: KeyRules, kid: str | None = None) -> Key:
    """Return the HMAC key made of these bytes, for the algorithms it is long enough for.

    Raises BadKey, also if they look like another kind of key.
    """
    try:
        secret = HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(content)
    except InvalidKeyError as error:
        raise BadKey("empty, or not a secret but another kind of key") from error
    algorithms = frozenset(alg for alg, least in SECRET_BYTES.items() if rules.short_secrets or len(secret) >= least)
    if not algorithms:
        raise BadKey(f"a secret of {len(secret)} bytes; HS256 needs {SECRET_BYTES['HS256']}")
    return Key(kid, "oct", algorithms, thumbprint({"k": base64url.encode(secret), "kty": "oct"}), secret)


_CURVES: dict[str, ec.EllipticCurve] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
_CURVE_NAMES = {curve.name: name for name, curve in _CURVES.items()}
_EDWARDS: dict[str, type[Ed25519PublicKey | Ed448PublicKey]] = {"Ed25519": Ed25519PublicKey, "Ed448": Ed448PublicKey}
_KINDS: dict[str, frozenset[Any]] = {
    "RSA": frozenset({None}),
    "oct": frozenset({None}),
    "EC": frozenset(_CURVES),
    "OKP": frozenset(_EDWARDS),
}
"""Known `kty` → the values of `crv` known with it."""


def _is_for_verifying(jwk: Mapping[str, Any]) -> bool:
    """Say whether the key is of a known kind and may verify signatures (RFC 7517 §4.2, §4.3)."""
    kty, curve, alg = jwk.get("kty"), jwk.get("crv"), jwk.get("alg")
    if type(kty) is not str or not isinstance(curve, str | None) or curve not in _KINDS.get(kty, ()):
        return False
    if not isinstance(alg, str | None) or (alg is not None and alg not in ALGORITHMS):
        return False
    key_ops = jwk.get("key_ops", ["verify"])
    return jwk.get("use", "sig") == "sig" and type(key_ops) is list and "verify" in key_ops


def _public_jwk(jwk: Mapping[str, Any]) -> PublicKey:
    kty, curve = jwk["kty"], jwk.get("crv")
    try:
        if kty == "RSA":
            return RSAPublicNumbers(e=_integer(jwk, "e"), n=_integer(jwk, "n")).public_key()
        if kty == "EC":
            return _point(_CURVES[str(curve)], _octets(jwk, "x"), _octets(jwk, "y"))
        return _EDWARDS[str(curve)].from_public_bytes(_octets(jwk, "x"))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadKey(f"not a valid {kty} key") from error


def _point(curve: ec.EllipticCurve, x: bytes, y: bytes) -> ec.EllipticCurvePublicKey:
    if len(x) != len(y) or len(x) != (curve.key_size + 7) // 8:
        raise ValueError("coordinates of a wrong length")
    return ec.EllipticCurvePublicNumbers(int.from_bytes(x), int.from_bytes(y), curve).public_key()


def _secret_jwk(jwk: Mapping[str, Any], kid: str | None, rules: KeyRules) -> Key:
    if not rules.symmetric:
        raise BadKey("a symmetric key; it may only come from a local file")
    try:
        return key_from_secret(_octets(jwk, "k"), rules, kid)
    except BadKey:
        raise
    except ValueError as error:
        raise BadKey("not a valid oct key") from error


def _integer(jwk: Mapping[str, Any], member: str) -> int:
    return int.from_bytes(_octets(jwk, member))


def _octets(jwk: Mapping[str, Any], member: str) -> bytes:
    value = jwk.get(member)
    if type(value) is not str:
        raise ValueError(f"{member} is not a string")
    return base64url.decode(value.encode("utf-8"))


def _public_key(public: Any, kid: str | None, rules: KeyRules) -> Key:
    match public:
        case RSAPublicKey():
            _refuse_weak_rsa(public, rules)
            return Key(kid, "RSA", RSA_ALGORITHMS, thumbprint(RSAAlgorithm.to_jwk(public, as_dict=True)), public)
        case ec.EllipticCurvePublicKey() if public.curve.name in _CURVE_NAMES:
            algorithm = CURVE_ALGORITHMS[_CURVE_NAMES[public.curve.name]]
            return Key(kid, "EC", frozenset({algorithm}), thumbprint(ECAlgorithm.to_jwk(public, as_dict=True)), public)
        case Ed25519PublicKey() | Ed448PublicKey():
            name = thumbprint(OKPAlgorithm.to_jwk(public, as_dict=True))
            return Key(kid, "OKP", frozenset({"EdDSA"}), name, public)
    raise BadKey("a kind of key that signs no tokens")


def _refuse_weak_rsa(public: RSAPublicKey, rules: KeyRules) -> None:
    if public.key_size < (WEAK_RSA_BITS if rules.weak_rsa else RSA_BITS):
        raise BadKey(f"an RSA key of {public.key_size} bits; {RSA_BITS} are needed")
    modulus = public.public_numbers().n
    if all(modulus % prime in residues for prime, residues in _ROCA.items()):
        raise BadKey("an RSA key that can be factored (ROCA, CVE-2017-15361)")


_ROCA = {
    prime: {pow(65537, power, prime) for power in range(prime)}
    for prime in range(3, 168, 2)
    if pow(2, prime - 1, prime) == 1
}
"""Small primes → the powers of 65537 modulo each. A modulus of the flawed generator is such a power for all of them."""
