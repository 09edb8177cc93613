import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.model.errors import UnknownKey, WrongAlgorithm
from gateway.model.principal import Principal
from gateway.tokens.cache import TokenCache
from gateway.tokens.jose import read_jws
from gateway.tokens.own_keys import BadKeyring, OwnKeys, read_keyring
from gateway.tokens.verify import signing_key
from tests.minting import NOW, SigningKey, b64, make_key
from tests.own_tokens import key_file, keyring, private_jwk, refresh_jwk, usual_keys

OLD, PRESENT, NEXT = make_key("EdDSA", "old"), make_key("ES256", "present"), make_key("RS256", "next")
SECRET = make_key("HS256", "secret")
RING = keyring(
    private_jwk(NEXT, NOW + 100),
    private_jwk(OLD, NOW - 100),
    private_jwk(PRESENT, NOW),
    refresh_jwk(7, NOW - 100),
    refresh_jwk(255, NOW),
    refresh_jwk(1, NOW + 100),
)


@pytest.mark.parametrize(
    ("now", "kid", "refresh_kid"),
    [
        (NOW - 101, "old", 7),
        (NOW - 0.001, "old", 7),
        (NOW, "present", 255),
        (NOW + 99.9, "present", 255),
        (NOW + 100, "next", 1),
        (NOW + 10**6, "next", 1),
    ],
)
def test_the_newest_key_whose_time_has_come_makes_tokens(now: float, kid: str, refresh_kid: int) -> None:
    """Before the first of all, as on a machine whose clock is behind, it is the first."""
    assert RING.signing_key(now).kid == kid
    assert RING.refresh_key(now).kid == refresh_kid


def test_of_keys_that_begin_together_the_last_in_the_file_makes_tokens() -> None:
    ring = keyring(private_jwk(OLD), private_jwk(PRESENT), refresh_jwk(9), refresh_jwk(8))
    assert ring.signing_key(NOW).kid == "present"
    assert ring.refresh_key(NOW).kid == 8


def test_a_key_of_any_time_is_found_by_its_name() -> None:
    for kid in ("old", "present", "next"):
        key = RING.signing_key_named(kid)
        assert key is not None
        assert key.kid == kid
    for number in (7, 255, 1):
        found = RING.refresh_key_named(number)
        assert found is not None
        assert found.kid == number
    assert RING.signing_key_named("other") is None
    assert RING.refresh_key_named(2) is None


def test_public_halves_are_published_ahead_of_their_first_use_and_secrets_never() -> None:
    """C150"""
    ring = keyring(private_jwk(PRESENT), private_jwk(NEXT, NOW + 100), private_jwk(SECRET), refresh_jwk())
    [present, following] = ring.jwks()["keys"]
    assert present == PRESENT.jwk()
    assert following == NEXT.jwk()
    assert set(following) == {"kty", "n", "e", "kid", "alg", "use"}
    assert b64(SECRET.private) not in json.dumps(ring.jwks())


def test_an_hmac_key_signs_and_verifies() -> None:
    keys = OwnKeys(keyring(private_jwk(SECRET), refresh_jwk()))
    [key] = keys.lookup("secret", "HS256", NOW)
    assert key.algorithms == {"HS256"}
    assert key.material == SECRET.private
    token = keys.current.signing_key(NOW).sign({"sub": "alice"}, typ="at+jwt")
    jws = read_jws(token)
    assert (jws.kid, jws.alg) == ("secret", "HS256")
    assert signing_key(jws, (key,)) is key


@pytest.mark.parametrize("kid", ["old", "present", "next"])
def test_every_key_verifies_whatever_its_time(kid: str) -> None:
    keys = OwnKeys(RING)
    alg = {"old": "EdDSA", "present": "ES256", "next": "RS256"}[kid]
    [key] = keys.lookup(kid, alg, NOW)
    assert (key.kid, key.algorithms) == (kid, frozenset({alg}))
    assert {key.kid for key in keys.keys} == {"old", "present", "next"}


def test_a_key_verifies_with_its_own_algorithm_only() -> None:
    """C33, C34"""
    keys = OwnKeys(keyring(private_jwk(NEXT), private_jwk(SECRET), refresh_jwk()))
    for kid, alg in (("next", "HS256"), ("next", "PS256"), ("next", "RS512"), ("secret", "RS256"), ("secret", "HS512")):
        with pytest.raises(WrongAlgorithm):
            keys.lookup(kid, alg, NOW)


@pytest.mark.parametrize("kid", [None, "", "unknown", "0", "../../etc/passwd", "' OR 1=1", "k" * 1024])
def test_a_token_must_name_a_key_of_ours(kid: str | None) -> None:
    """C35, C36; the refresh keys are not for access tokens (C43)"""
    keys = OwnKeys(keyring(private_jwk(SECRET), refresh_jwk(0)))
    with pytest.raises(UnknownKey):
        keys.lookup(kid, "HS256", NOW)


def remembered(verified_by: str) -> Principal:
    return Principal("alice", "i", "user", {}, frozenset(), NOW, NOW, NOW + 9, None, None, "own", verified_by)


def test_what_a_withdrawn_key_has_verified_is_forgotten() -> None:
    """C64"""
    keys, cache = OwnKeys(RING), TokenCache(10, 1000)
    _kept = keys.forget_in(cache)
    for key in keys.keys:
        cache.put(str(key.kid), remembered(key.thumbprint), NOW)
    keys.current = keyring(private_jwk(PRESENT), private_jwk(make_key("EdDSA", "other"), kid="old"), refresh_jwk())
    assert cache.get("present")
    assert cache.get("old") is None
    assert cache.get("next") is None
    with pytest.raises(UnknownKey):
        keys.lookup("next", "RS256", NOW)


def test_keys_that_are_added_make_nothing_forgotten() -> None:
    keys, cache = OwnKeys(usual_keys()), TokenCache(10, 1000)
    _kept = keys.forget_in(cache)
    [key] = keys.keys
    cache.put("token", remembered(key.thumbprint), NOW)
    keys.current = keyring(private_jwk(make_key("EdDSA", "a1")), private_jwk(NEXT, NOW + 100), refresh_jwk())
    assert cache.get("token")
    assert keys.current.signing_key(NOW + 100).kid == "next"


def test_two_readings_of_the_same_file_are_equal() -> None:
    members = private_jwk(PRESENT), refresh_jwk()
    assert keyring(*members) == keyring(*members)
    assert keyring(*members) != keyring(private_jwk(PRESENT), refresh_jwk(k=b64(b"o" * 32)))
    assert keyring(*members) != keyring(private_jwk(PRESENT, NOW), refresh_jwk())


# --- the file

GOOD = private_jwk(PRESENT), refresh_jwk()
RSA_1024 = make_key("RS256", "weak", bits=1024)
OTHER_CURVE = SigningKey("ES256", "curve", ec.generate_private_key(ec.SECP384R1()))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is not a JWK set: "),
        (b"\xff", "is not a JWK set: "),
        (b"[]", "is not a JWK set: not an object"),
        (b'{"keys": [], "keys": []}', "is not a JWK set: a member occurs twice"),
        (b"{}", "there is no array `keys`"),
        (key_file(*[{}] * 101), "holds more than 100 keys"),
        (key_file(*GOOD, 1), 'key 3 has neither "sig" nor "refresh" as its use'),
        (key_file(*GOOD, private_jwk(OLD, use="enc")), 'key 3 has neither "sig" nor "refresh" as its use'),
        (key_file(*GOOD, private_jwk(OLD, use=["sig"])), "key 3 has neither"),
        (key_file(*GOOD, private_jwk(OLD, kid="")), "key 3 has no kid"),
        (key_file(*GOOD, private_jwk(OLD, kid=1)), "key 3 has no kid"),
        (key_file(*GOOD, private_jwk(OLD, alg=[])), "key 3 must have one of the algorithms EdDSA, ES256, RS256, HS256"),
        (key_file(*GOOD, private_jwk(OLD, alg="HS512")), "key 3 must have one of the algorithms"),
        (key_file(*GOOD, private_jwk(OLD, alg="none")), "key 3 must have one of the algorithms"),
        (key_file(*GOOD, private_jwk(OLD, alg="HS256")), "key 3 does not fit its alg HS256"),
        (key_file(*GOOD, private_jwk(OTHER_CURVE)), "key 3 does not fit its alg ES256"),
        (key_file(*GOOD, private_jwk(OLD, crv="Ed448")), "key 3 does not fit its alg EdDSA"),
        (key_file(*GOOD, OLD.jwk(signs_from=NOW)), "key 3 has only its public half"),
        (key_file(*GOOD, private_jwk(OLD, d="AAAA")), "key 3 is not a valid private JWK"),
        (key_file(*GOOD, private_jwk(NEXT, n=1)), "key 3 is not a valid private JWK"),
        (key_file(*GOOD, private_jwk(OLD, x=make_key("EdDSA", "b").jwk()["x"])), "key 3 is not a valid private JWK"),
        (key_file(*GOOD, private_jwk(NEXT, e="AAEAAQ")), "key 3 has public members that are not those of its private"),
        (key_file(*GOOD, private_jwk(RSA_1024)), "key 3 is an RSA key of 1024 bits; 2048 are needed"),
        (key_file(*GOOD, private_jwk(SECRET, k=b64(b"s" * 31))), "key 3 is a secret of 31 bytes; 32 are needed"),
        (key_file(*GOOD, private_jwk(SECRET, k="A=")), "key 3 is not a valid oct JWK"),
        (key_file(*GOOD, private_jwk(SECRET, k=5)), "key 3 is not a valid oct JWK"),
        (key_file(*GOOD, private_jwk(SECRET, k=b64(PRESENT.public_pem()))), "key 3 is empty, or not a secret but"),
        (key_file(*GOOD, private_jwk(OLD, signs_from="1")), "key 3 has no signs_from"),
        (key_file(*GOOD, private_jwk(OLD, signs_from=True)), "key 3 has no signs_from"),
        (key_file(*GOOD, private_jwk(OLD, signs_from=-1)), "key 3 has no signs_from"),
        (key_file(*GOOD, private_jwk(OLD, signs_from=10**12)), "key 3 has no signs_from"),
        (key_file(*GOOD, refresh_jwk(1, kid=1)), "key 3 is for refresh tokens, and its kid is not a number from 0"),
        (key_file(*GOOD, refresh_jwk(1, kid="256")), "key 3 is for refresh tokens, and its kid is not a number"),
        (key_file(*GOOD, refresh_jwk(1, kid="01")), "key 3 is for refresh tokens, and its kid is not a number"),
        (key_file(*GOOD, refresh_jwk(1, kid="1\n")), "key 3 is for refresh tokens, and its kid is not a number"),
        (key_file(*GOOD, refresh_jwk(1, kid="\u0661")), "key 3 is for refresh tokens, and its kid is not a number"),
        (key_file(*GOOD, refresh_jwk(1, alg="HS512")), "key 3 is for refresh tokens, and its alg is not HS256"),
        (key_file(*GOOD, refresh_jwk(1, kty="RSA")), "key 3 is not a valid oct JWK"),
        (key_file(*GOOD, refresh_jwk(1, k=b64(b"s" * 31))), "key 3 is a secret of 31 bytes; 32 are needed"),
        (key_file(*GOOD, private_jwk(OLD, kid="present")), "two keys of the same use have the same kid"),
        (key_file(*GOOD, refresh_jwk(k=b64(b"o" * 32))), "two keys of the same use have the same kid"),
        (key_file(*GOOD, private_jwk(PRESENT, kid="again")), "it holds the same key twice"),
        (key_file(*GOOD, private_jwk(SECRET), refresh_jwk(1, k=b64(SECRET.private))), "it holds the same key twice"),
        (key_file(refresh_jwk()), "it holds no key with use sig whose signs_from has come"),
        (key_file(private_jwk(OLD)), "it holds no key with use refresh whose signs_from has come"),
        (key_file(private_jwk(OLD, NOW + 1), refresh_jwk()), "no key with use sig whose signs_from has come"),
        (key_file(private_jwk(OLD), refresh_jwk(0, NOW + 1)), "no key with use refresh whose signs_from has come"),
    ],
)
def test_a_file_with_a_mistake_is_refused_without_quoting_it(content: bytes, problem: str) -> None:
    """C61"""
    with pytest.raises(BadKeyring) as caught:
        read_keyring(content, lambda: NOW)
    message = str(caught.value)
    assert problem in message
    assert "\n" not in message
    members: list[Any] = json.loads(content).get("keys", []) if content.startswith(b'{"keys": [{') else []
    secrets = [jwk[name] for jwk in members if isinstance(jwk, dict) for name in ("d", "k", "p") if name in jwk]
    assert not any(str(secret) in message for secret in secrets if len(str(secret)) > 5)


def test_a_key_of_an_unknown_kind_is_passed_over_and_the_others_work() -> None:
    """C67: whatever else it is."""
    unknown = {"kty": "AKP", "alg": "ML-DSA-65", "kid": "pq", "use": "sig", "priv": "AAAA", "signs_from": NOW}
    assert keyring(*GOOD, unknown, {"kty": "new"}) == keyring(*GOOD)


def test_members_that_others_need_are_left_alone() -> None:
    assert keyring(private_jwk(OLD, comment="ours", key_ops=["sign"]), refresh_jwk(alg=None)).access


def test_keys_do_not_show() -> None:
    secrets = [private_jwk(OLD)["d"], private_jwk(SECRET)["k"], refresh_jwk()["k"], "0000000"]
    text = repr(keyring(private_jwk(OLD), private_jwk(SECRET), refresh_jwk()))
    assert "secret=" not in text
    assert SECRET.private.decode() not in text
    assert not any(secret in text for secret in secrets)
