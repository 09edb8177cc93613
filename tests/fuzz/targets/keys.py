"""Documents of keys: JWK sets, PEM files, secrets, our own key file. What is kept may be used; the rest is told."""

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from gateway.tokens.key_documents import (
    MAX_KEYS,
    BadKey,
    KeyRules,
    key_from_pem,
    key_from_secret,
    read_jwks,
    secret_in,
)
from gateway.tokens.keys import ALGORITHMS, Key
from gateway.tokens.own_keys import BadKeyring, read_keyring
from gateway.tokens.thumbprint import thumbprint

NOW = 1_800_000_000
REMOTE, LOCAL = KeyRules(), KeyRules(symmetric=True)


def check(data: bytes) -> None:
    for rules in (REMOTE, LOCAL):
        _check_set(data, rules)
    _check_keyring(data)
    for read in (key_from_pem, key_from_secret):
        try:
            key = read(data, REMOTE)
        except BadKey as error:
            _check_message(str(error), data)
        else:
            _check_key(key, LOCAL)
    assert secret_in(data + b"\r\n") == data


def _check_set(data: bytes, rules: KeyRules) -> None:
    try:
        keys, problems = read_jwks(data, rules)
    except BadKey as error:
        _check_message(str(error), data)
        return
    assert len(keys.keys) + len(problems) <= MAX_KEYS
    for key in keys.keys:
        _check_key(key, rules)
        assert key in keys.lookup(key.kid, min(key.algorithms), NOW) or len(keys.keys) > 4
    for problem in problems:
        _check_message(problem, data)


def _check_key(key: Key, rules: KeyRules) -> None:
    assert key.algorithms <= ALGORITHMS.keys()
    assert key.algorithms
    assert len(key.thumbprint) == 43
    assert repr(key.material) not in repr(key)
    if key.kty == "oct":
        assert rules.symmetric
        assert len(key.material) >= 32
    elif isinstance(key.material, RSAPublicKey):
        assert key.material.key_size >= 2048
    else:
        jwk = ALGORITHMS[min(key.algorithms)].to_jwk(key.material, as_dict=True)
        assert thumbprint({name: jwk[name] for name in jwk if name not in ("key_ops", "kid")}) == key.thumbprint


def _check_keyring(data: bytes) -> None:
    try:
        ring = read_keyring(data, lambda: NOW)
    except BadKeyring as error:
        _check_message(str(error), data)
        return
    assert ring.signing_key(NOW).kid
    assert ring.refresh_key_named(ring.refresh_key(NOW).kid) is ring.refresh_key(NOW)
    for jwk in ring.jwks()["keys"]:
        assert jwk["kty"] != "oct"
        assert not jwk.keys() & {"d", "k", "p", "q", "dp", "dq", "qi"}


def _check_message(message: str, data: bytes) -> None:
    assert message
    assert "\n" not in message
    long_words = [word for word in message.split() if len(word) > 30]
    assert not any(word.encode("utf-8", "replace") in data for word in long_words), message
