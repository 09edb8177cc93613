import datetime
import json
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.tokens.key_documents import (
    MAX_KEYS,
    BadKey,
    KeyRules,
    key_from_jwk,
    key_from_pem,
    key_from_secret,
    read_jwks,
)
from gateway.tokens.keys import RSA_ALGORITHMS
from tests.minting import SigningKey, b64, jwks, make_key

REMOTE = KeyRules()
LOCAL = KeyRules(symmetric=True)


@pytest.mark.parametrize("alg", ["RS256", "PS512", "ES256", "ES384", "ES512", "EdDSA"])
def test_a_key_is_bound_to_the_alg_it_names(alg: str) -> None:
    """C34"""
    key = key_from_jwk(make_key(alg, "k").jwk(), REMOTE)
    assert key is not None
    assert key.kid == "k"
    assert key.algorithms == {alg}


@pytest.mark.parametrize(
    ("alg", "algorithms"),
    [("RS256", RSA_ALGORITHMS), ("ES256", {"ES256"}), ("ES384", {"ES384"}), ("ES512", {"ES512"}), ("EdDSA", {"EdDSA"})],
)
def test_a_key_without_alg_is_bound_by_its_kind(alg: str, algorithms: set[str]) -> None:
    """C34"""
    key = key_from_jwk(make_key(alg, "k").jwk(alg=None), REMOTE)
    assert key is not None
    assert key.algorithms == algorithms


def test_an_ed448_key_is_for_eddsa() -> None:
    public = make_key("Ed448").private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    key = key_from_jwk({"kty": "OKP", "crv": "Ed448", "x": b64(public)}, REMOTE)
    assert key is not None
    assert key.algorithms == {"EdDSA"}
    assert key_from_pem(make_key("Ed448").public_pem(), REMOTE).thumbprint == key.thumbprint


@pytest.mark.parametrize(
    "changes",
    [
        {"use": "enc"},
        {"use": ["sig"]},
        {"key_ops": ["encrypt"]},
        {"key_ops": ["sign"]},
        {"key_ops": []},
        {"key_ops": "verify"},
    ],
)
def test_a_key_that_is_not_for_verifying_is_passed_over(changes: dict[str, Any]) -> None:
    """C66"""
    assert key_from_jwk(make_key("RS256", "k").jwk(**changes), REMOTE) is None
    assert key_from_jwk(make_key("RS256", "k").jwk(use=None, key_ops=["verify"]), REMOTE) is not None


@pytest.mark.parametrize(
    "unknown",
    [
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "x"},
        {"kty": "RSA", "alg": "RSA-OAEP", "n": "AQAB", "e": "AQAB"},
        {"kty": "EC", "crv": "secp256k1", "alg": "ES256K", "x": "A", "y": "A"},
        {"kty": "EC", "crv": "secp256k1", "x": "A", "y": "A"},
        {"kty": "OKP", "crv": "X25519", "x": "A"},
        {"kty": "EC", "crv": ["P-256"]},
        {"kty": "EC"},
        {"kty": ["RSA"]},
        {"kty": "RSA", "alg": 1},
        {"alg": "none"},
        {"kty": "oct", "alg": "none", "k": ""},
        {},
    ],
)
def test_an_unknown_kind_of_key_is_ignored_and_the_others_work(unknown: dict[str, Any]) -> None:
    """C67"""
    keys, problems = read_jwks(jwks(unknown, make_key("ES256", "k")), LOCAL)
    assert [key.kid for key in keys.keys] == ["k"]
    assert problems == ()


RSA_JWK = make_key("RS256", "k").jwk()
EC_JWK = make_key("ES256", "k").jwk()
ED_JWK = make_key("EdDSA", "k").jwk()


@pytest.mark.parametrize(
    "bad",
    [
        "RSA",
        None,
        {**RSA_JWK, "kid": 1},
        {**RSA_JWK, "n": None},
        {**RSA_JWK, "n": RSA_JWK["n"] + "=="},
        {**RSA_JWK, "n": "é"},
        {**RSA_JWK, "e": "AQ"},
        {**RSA_JWK, "e": b64(b"\x02")},
        {**RSA_JWK, "alg": "ES256"},
        {**RSA_JWK, "alg": "HS256"},
        {**EC_JWK, "alg": "ES384"},
        {**EC_JWK, "alg": "RS256"},
        {**EC_JWK, "crv": "P-384", "alg": None},
        {**EC_JWK, "x": EC_JWK["y"], "y": EC_JWK["x"]},
        {**EC_JWK, "x": b64(b"\0" * 32)},
        {**EC_JWK, "x": b64(b"\1" * 31)},
        {**ED_JWK, "x": b64(b"\1" * 31)},
        {**ED_JWK, "alg": "ES256"},
    ],
)
def test_a_key_that_contradicts_itself_is_skipped_and_reported(bad: Any) -> None:
    keys, problems = read_jwks(jwks(bad, make_key("ES384", "good")), REMOTE)
    assert [key.kid for key in keys.keys] == ["good"]
    assert len(problems) == 1
    assert problems[0].startswith("key 1: ")


def test_rsa_keys_below_2048_bits_are_refused() -> None:
    """C61"""
    weak = make_key("RS256", "weak", bits=1024)
    with pytest.raises(BadKey, match="1024 bits"):
        key_from_jwk(weak.jwk(), LOCAL)
    with pytest.raises(BadKey, match="1024 bits"):
        key_from_pem(weak.public_pem(), LOCAL)
    assert key_from_pem(weak.public_pem(), KeyRules(weak_rsa=True)).algorithms == RSA_ALGORITHMS


def test_rsa_moduli_of_the_roca_generator_are_refused() -> None:
    product = 1
    for prime in (p for p in range(2, 168) if all(p % divisor for divisor in range(2, p))):
        product *= prime
    modulus = pow(65537, 123456789, product) + product * ((1 << 2047) // product + 1)
    roca = RSAPublicNumbers(e=65537, n=modulus).public_key()
    pem = roca.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(BadKey, match="ROCA"):
        key_from_pem(pem, KeyRules(weak_rsa=True))


def test_only_the_public_part_of_a_private_jwk_is_taken() -> None:
    public = make_key("EdDSA", "k")
    private = public.jwk(d=b64(public.private.private_bytes_raw()))
    key, same = key_from_jwk(private, REMOTE), key_from_jwk(public.jwk(), REMOTE)
    assert key is not None
    assert same is not None
    assert key.thumbprint == same.thumbprint
    assert not hasattr(key.material, "sign")


def test_a_symmetric_key_comes_from_local_files_only_and_is_for_hmac_only() -> None:
    jwk = make_key("HS256", "s").jwk(alg=None)
    with pytest.raises(BadKey, match="local file"):
        key_from_jwk(jwk, REMOTE)
    key = key_from_jwk(jwk, LOCAL)
    assert key is not None
    assert key.algorithms == {"HS256", "HS384", "HS512"}
    for bad in (
        {"k": None},
        {"k": "A"},
        {"k": ""},
        {"k": b64(b"k" * 31)},
        {"k": b64(b"k" * 32), "alg": "HS512"},
        {"alg": "RS256"},
    ):
        with pytest.raises(BadKey):
            key_from_jwk({**jwk, **bad}, LOCAL)


@pytest.mark.parametrize(
    ("length", "algorithms"),
    [(32, {"HS256"}), (47, {"HS256"}), (48, {"HS256", "HS384"}), (64, {"HS256", "HS384", "HS512"})],
)
def test_a_secret_is_for_the_algorithms_it_is_long_enough_for(length: int, algorithms: set[str]) -> None:
    """C61"""
    assert key_from_secret(b"s" * length, LOCAL).algorithms == algorithms


def test_a_short_secret_is_refused_unless_accepted() -> None:
    """C61"""
    with pytest.raises(BadKey, match="31 bytes"):
        key_from_secret(b"s" * 31, LOCAL)
    assert "HS512" in key_from_secret(b"s", KeyRules(symmetric=True, short_secrets=True)).algorithms


@pytest.mark.parametrize(
    "content", [b"", make_key("RS256").public_pem(), make_key("RS256").private_pem(), json.dumps(RSA_JWK).encode()]
)
def test_another_kind_of_key_is_never_an_hmac_secret(content: bytes) -> None:
    """C33"""
    with pytest.raises(BadKey):
        key_from_secret(content, KeyRules(symmetric=True, short_secrets=True))


def certificate(key: SigningKey) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "issuer")])
    day = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.private.public_key(), 1, day, day + datetime.timedelta(days=1))
    return builder.sign(key.private, hashes.SHA256()).public_bytes(Encoding.PEM)


def test_a_pem_key_a_certificate_and_a_jwk_of_one_key_have_one_thumbprint() -> None:
    for alg in ("RS256", "ES256"):
        key = make_key(alg, "k")
        jwk = key_from_jwk(key.jwk(alg=None), REMOTE)
        assert jwk is not None
        for pem in (key.public_pem(), certificate(key)):
            found = key_from_pem(pem, LOCAL)
            assert (found.kid, found.thumbprint, found.algorithms) == (None, jwk.thumbprint, jwk.algorithms)


def test_the_thumbprint_is_that_of_rfc_7638() -> None:
    """The example of RFC 7638 §3.1."""
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknj"
        "hMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQ"
        "vRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzK"
        "nqDKgw"
    )
    key = key_from_jwk({"kty": "RSA", "n": modulus, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}, REMOTE)
    assert key is not None
    assert key.thumbprint == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def public_pem(private: Any) -> bytes:
    pem: bytes = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "one PEM block"),
        (b"not a pem", "one PEM block"),
        (make_key("RS256").public_pem() + make_key("ES256").public_pem(), "one PEM block"),
        (make_key("RS256").private_pem(), "private key"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "not a PEM"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "not a PEM"),
        (make_key("ES256K").public_pem(), "signs no tokens"),
        (public_pem(X25519PrivateKey.generate()), "signs no tokens"),
        (public_pem(dsa.generate_private_key(1024)), "signs no tokens"),
    ],
)
def test_a_pem_file_holds_one_usable_public_key(content: bytes, message: str) -> None:
    with pytest.raises(BadKey, match=message):
        key_from_pem(content, LOCAL)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"keys":{}}',
        b'{"keys":[],"keys":[]}',
        json.dumps({"keys": [{}] * (MAX_KEYS + 1)}).encode(),
    ],
)
def test_a_document_that_is_no_key_set_is_refused(document: bytes) -> None:
    with pytest.raises(BadKey):
        read_jwks(document, REMOTE)


def test_an_empty_key_set_is_a_key_set() -> None:
    keys, problems = read_jwks(b'{"keys":[]}', REMOTE)
    assert (keys.keys, problems) == ((), ())
