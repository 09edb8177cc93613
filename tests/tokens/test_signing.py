import json
from base64 import b64encode
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from gateway.tokens.signing import UnusableKey, public_jwk, signing_key, signing_key_from_jwk
from gateway.tokens.thumbprint import thumbprint
from tests.minting import NOW, make_key
from tests.own_tokens import private_jwk


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "ES384", "ES512", "RS256"])
def test_a_key_signs_with_the_one_algorithm_that_fits_it(algorithm: str) -> None:
    key = signing_key(make_key(algorithm).private_pem())
    token = key.sign({"sub": "alice", "exp": NOW}, typ="JWT")
    assert jwt.get_unverified_header(token) == {"alg": algorithm, "typ": "JWT", "kid": key.kid}
    payload = jwt.api_jws.decode(token, jwt.PyJWK(dict(key.jwk)).key, [algorithm])
    assert json.loads(payload) == {"sub": "alice", "exp": NOW}


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "ES384", "ES512", "RS256"])
def test_of_either_half_of_a_key_the_same_is_published(algorithm: str) -> None:
    private = make_key(algorithm).private_pem()
    key = signing_key(private)
    assert not isinstance(key.private_key, bytes)
    public = key.private_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert public_jwk(private) == public_jwk(public) == key.jwk
    assert "d" not in public_jwk(private)


def test_what_is_no_key_is_not_published() -> None:
    small = dsa.generate_private_key(1024).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for pem in (b"", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", small):
        with pytest.raises(UnusableKey):
            public_jwk(pem)


@pytest.mark.parametrize("typ", ["at+jwt", "JWT"])
def test_a_token_is_written_as_other_libraries_write_it_also_the_second_time(typ: str) -> None:
    """Gateways of two releases give the same pair."""
    key, claims = signing_key(make_key("EdDSA").private_pem()), {"sub": "ä", "list": [1, {"b": None, "a": 1.5}]}
    payload = json.dumps(claims, separators=(",", ":")).encode()
    expected = jwt.api_jws.encode(payload, key.private_key, "EdDSA", {"typ": typ, "kid": key.kid})
    assert [key.sign(claims, typ="at+jwt"), key.sign(claims, typ="JWT")]
    assert key.sign(claims, typ=typ) == expected


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "ES384", "ES512", "RS256"])
def test_only_the_public_half_is_published(algorithm: str) -> None:
    """C150."""
    key = signing_key(make_key(algorithm).private_pem())
    assert not {"d", "p", "q", "dp", "dq", "qi", "k", "oth", "key_ops"} & key.jwk.keys()
    assert {name: key.jwk[name] for name in ("kid", "alg", "use")} == {"kid": key.kid, "alg": algorithm, "use": "sig"}
    assert key.kid == thumbprint(key.jwk)


def test_the_same_key_has_the_same_name_everywhere() -> None:
    pem = make_key("EdDSA").private_pem()
    assert signing_key(pem).kid == signing_key(pem).kid
    assert signing_key(pem).kid != signing_key(make_key("EdDSA", "other").private_pem()).kid


def pem(key: Any, password: bytes | None = None) -> bytes:
    protection = BestAvailableEncryption(password) if password else NoEncryption()
    written: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)
    return written


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a key",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        make_key("EdDSA").public_pem(),
        pem(make_key("EdDSA").private, b"password"),
    ],
    ids=["empty", "text", "garbage", "public", "encrypted"],
)
def test_what_is_no_unencrypted_private_key_is_refused(content: bytes) -> None:
    with pytest.raises(UnusableKey, match="is not an unencrypted PEM private key"):
        signing_key(content)


def test_a_curve_that_the_library_does_not_know_is_refused() -> None:
    known = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    prime256v1, unknown = bytes.fromhex("06082a8648ce3d030107"), bytes.fromhex("06082a8648ce3d03017f")
    assert prime256v1 in known
    content = b64encode(known.replace(prime256v1, unknown))
    with pytest.raises(UnusableKey):
        signing_key(b"-----BEGIN PRIVATE KEY-----\n" + content + b"\n-----END PRIVATE KEY-----\n")


@pytest.mark.parametrize(
    "key",
    [
        make_key("RS256", bits=1024).private,
        make_key("ES256K").private,
        make_key("Ed448").private,
        dsa.generate_private_key(1024),
        x25519.X25519PrivateKey.generate(),
    ],
    ids=["RSA 1024", "secp256k1", "Ed448", "DSA", "X25519"],
)
def test_a_weak_or_foreign_key_never_signs(key: Any) -> None:
    """C61, RFC 7518 §3.3."""
    with pytest.raises(UnusableKey, match="is not an Ed25519, P-256, P-384, P-521 or RSA"):
        signing_key(pem(key))


def test_a_private_key_does_not_show() -> None:
    key = make_key("EdDSA")
    secret = key.private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    assert secret.hex() not in repr(signing_key(key.private_pem()))


# --- private JWKs


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256"])
def test_a_private_jwk_signs_under_its_own_name(algorithm: str) -> None:
    key = signing_key_from_jwk(private_jwk(make_key(algorithm, "k1")))
    token = key.sign({"sub": "alice"}, typ="JWT")
    assert jwt.get_unverified_header(token) == {"alg": algorithm, "typ": "JWT", "kid": "k1"}
    assert json.loads(jwt.api_jws.decode(token, jwt.PyJWK(dict(key.jwk)).key, [algorithm])) == {"sub": "alice"}
    assert key.jwk == make_key(algorithm, "k1").jwk()


def test_a_secret_signs_and_has_nothing_to_publish() -> None:
    """C150"""
    secret = make_key("HS256", "k1")
    key = signing_key_from_jwk(private_jwk(secret))
    assert key.jwk == {}
    assert json.loads(jwt.api_jws.decode(key.sign({"a": 1}, typ="JWT"), secret.private, ["HS256"])) == {"a": 1}
    assert repr(secret.private) not in repr(key)


def test_a_private_jwk_that_must_not_sign_is_refused() -> None:
    """C61; every mistake is in the test of the key file."""
    with pytest.raises(UnusableKey, match="is an RSA key of 1024 bits; 2048 are needed"):
        signing_key_from_jwk(private_jwk(make_key("RS256", "weak", bits=1024)))
    with pytest.raises(UnusableKey, match="is not a valid private JWK"):
        signing_key_from_jwk(private_jwk(make_key("ES256", "k"), d="AAAA"))
    with pytest.raises(UnusableKey, match="has only its public half"):
        signing_key_from_jwk(make_key("ES256", "k").jwk())
    with pytest.raises(UnusableKey, match="is a secret of 3 bytes; 32 are needed"):
        signing_key_from_jwk(private_jwk(make_key("HS256", "k"), k="AAAA"))
