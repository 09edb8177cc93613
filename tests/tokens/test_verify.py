import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.model.decision import Pending
from gateway.model.errors import (
    BadSignature,
    BoundToken,
    ExpiredToken,
    InvalidClaim,
    InvalidToken,
    LifetimeTooLong,
    MalformedToken,
    MissingClaim,
    NotYetValid,
    UnknownKey,
    WrongAlgorithm,
    WrongAudience,
    WrongIssuer,
    WrongType,
)
from gateway.tokens.jose import read_jws
from gateway.tokens.key_documents import KeyRules, key_from_pem, read_jwks
from gateway.tokens.keys import Key, KeySet
from gateway.tokens.verify import (
    CLAIM_CHECKS,
    HEADER_CHECKS,
    LAST_SECOND,
    Expectations,
    Verified,
    check_claims,
    verify_jwt,
)
from tests.minting import AUDIENCE, ISSUER, NOW, SigningKey, access_claims, b64, jwks, make_key

K1, K2, K3 = make_key("EdDSA", "k1"), make_key("RS256", "k2"), make_key("HS256", "k3")
ASYMMETRIC = frozenset({"RS256", "PS256", "ES256", "EdDSA"})
EXPECT = Expectations(ISSUER, frozenset({AUDIENCE}), ASYMMETRIC)


def keys_of(*keys: SigningKey) -> KeySet:
    found, problems = read_jwks(jwks(*keys), KeyRules(symmetric=True))
    assert not problems
    return found


KEYS = keys_of(K1, K2)


def verify(token: str, keys: KeySet = KEYS, now: float = NOW, **changes: Any) -> Verified:
    expect = Expectations(**{name: getattr(EXPECT, name) for name in EXPECT.__slots__} | changes)
    verified = verify_jwt(read_jws(token), keys, expect, now)
    assert isinstance(verified, Verified)
    return verified


@pytest.mark.parametrize(
    "alg", [f"{family}{bits}" for family in ("RS", "PS", "ES", "HS") for bits in (256, 384, 512)] + ["EdDSA"]
)
def test_a_good_token_is_verified_with_every_algorithm(alg: str) -> None:
    key = make_key(alg, "k")
    verified = verify(key.sign(access_claims()), keys_of(key), algorithms=frozenset({alg}))
    assert verified.claims == access_claims()
    assert verified.key.kid == "k"


# --- the header


@pytest.mark.parametrize("alg", ["none", "None", "nOnE", "NONE", "", "HS256", "RS512", "ES256K", "rs256", "RSA-OAEP"])
def test_an_algorithm_that_is_not_accepted_is_refused(alg: str) -> None:
    """C32"""
    with pytest.raises(WrongAlgorithm):
        verify(K2.sign(access_claims(), alg=alg))


@pytest.mark.parametrize("alg", ["none", "None", "nOnE"])
def test_an_unsigned_token_is_refused(alg: str) -> None:
    """C32"""
    with pytest.raises(MalformedToken):
        verify(
            f"{b64(json.dumps({'alg': alg, 'typ': 'at+jwt'}).encode())}.{b64(json.dumps(access_claims()).encode())}."
        )


@pytest.mark.parametrize("accepted", [ASYMMETRIC, frozenset({"HS256"}), ASYMMETRIC | {"HS256"}])
def test_a_public_key_is_never_an_hmac_secret(accepted: frozenset[str]) -> None:
    """C33: even where both kinds of algorithm are accepted, the key is bound to its own."""
    forger = SigningKey("HS256", "k2", K2.public_pem())
    with pytest.raises((WrongAlgorithm, UnknownKey)):
        verify(forger.sign(access_claims()), algorithms=accepted)
    with pytest.raises((WrongAlgorithm, UnknownKey)):
        verify(forger.sign(access_claims()), KeySet([key_from_pem(K2.public_pem(), KeyRules())]), algorithms=accepted)


@pytest.mark.parametrize("kid", ["k1", "k2"])
def test_the_algorithm_must_be_that_of_the_key(kid: str) -> None:
    """C34"""
    key = make_key("ES256", kid)
    with pytest.raises(WrongAlgorithm):
        verify(key.sign(access_claims()))


def test_a_key_is_not_tried_with_an_algorithm_it_is_not_for() -> None:
    """C34: not even if a source of keys were to offer it."""

    class Careless(KeySet):
        def lookup(self, kid: str | None, alg: str, now: float) -> tuple[Key, ...]:
            return self.keys

    with pytest.raises(BadSignature):
        verify(make_key("PS256", "k2").sign(access_claims()), Careless(KEYS.keys))


@pytest.mark.parametrize("kid", ["unknown", "../../etc/passwd", "' OR 1=1", "k" * 1024, ""])
def test_an_unknown_kid_is_refused(kid: str) -> None:
    """C35, C36"""
    with pytest.raises(UnknownKey):
        verify(K1.sign(access_claims(), kid=kid))


def test_a_token_without_kid_is_checked_with_each_key_that_fits() -> None:
    other = make_key("EdDSA", "other")
    assert verify(K1.sign(access_claims(), kid=None), keys_of(other, K2, K1)).key.kid == "k1"
    with pytest.raises(BadSignature):
        verify(make_key("EdDSA", "stranger").sign(access_claims(), kid=None), keys_of(other, K2, K1))


def test_keys_that_the_token_brings_along_are_ignored() -> None:
    """C37: they are not even looked at; see the test of the authenticator for the outbound requests."""
    attacker = make_key("RS256", "attacker")
    url = "https://attacker.example/keys"
    for header in ({"jwk": attacker.jwk()}, {"jku": url}, {"x5u": url}, {"x5c": ["AAAA"]}):
        with pytest.raises(BadSignature):
            verify(attacker.sign(access_claims(), kid="k2", **header))
        assert verify(K2.sign(access_claims(), **header))


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+jwt"])
def test_the_type_of_an_access_token_is_accepted_in_any_case(typ: str) -> None:
    """C42"""
    assert verify(K1.sign(access_claims(), typ=typ))


@pytest.mark.parametrize(
    "typ",
    ["JWT", "rt+jwt", "dpop+jwt", "logout+jwt", "secevent+jwt", "absent", "", "text/at+jwt", 1, ["at+jwt"], {}, None],
)
def test_another_type_of_token_is_refused(typ: Any) -> None:
    """C41, C43"""
    with pytest.raises(WrongType):
        verify(K1.sign(access_claims(), typ=typ))
    header = json.dumps({"alg": "EdDSA", "kid": "k1", "typ": typ}).encode()
    with pytest.raises(WrongType):
        verify(K1.seal(header, b"{}"))


def test_a_token_without_type_is_accepted_where_that_is_said() -> None:
    untyped = frozenset({None, "jwt"})
    assert verify(K1.sign(access_claims(), typ=None), types=untyped)
    assert verify(K1.sign(access_claims(), typ="JWT"), types=untyped)
    with pytest.raises(WrongType):
        verify(K1.sign(access_claims(), typ="absent"), types=untyped)


# --- the signature


SAMPLES = {
    alg: (key := make_key(alg, "k"), key.sign(access_claims())) for alg in ("RS256", "PS256", "ES256", "EdDSA", "HS256")
}


@settings(deadline=None)
@given(st.sampled_from(sorted(SAMPLES)), st.data())
def test_a_token_with_any_bit_flipped_is_refused(alg: str, data: st.DataObject) -> None:
    """C63: in the text of the token, dots included."""
    key, token = SAMPLES[alg]
    bit = data.draw(st.integers(0, len(token) * 8 - 1))
    flipped = bytearray(token.encode())
    flipped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(InvalidToken):
        verify(flipped.decode("latin-1"), keys_of(key), algorithms=frozenset({alg}))


@settings(deadline=None)
@given(st.sampled_from(sorted(SAMPLES)), st.integers(0, 2), st.data())
def test_a_token_with_any_decoded_bit_flipped_is_refused(alg: str, part: int, data: st.DataObject) -> None:
    """C63: in the bytes of header, payload or signature."""
    key, token = SAMPLES[alg]
    jws = read_jws(token)
    segments = [json.dumps(jws.header).encode(), json.dumps(jws.payload).encode(), jws.signature]
    assert ".".join(map(b64, segments)) == token
    changed = bytearray(segments[part])
    bit = data.draw(st.integers(0, len(changed) * 8 - 1))
    changed[bit // 8] ^= 1 << bit % 8
    segments[part] = bytes(changed)
    with pytest.raises(InvalidToken):
        verify(".".join(map(b64, segments)), keys_of(key), algorithms=frozenset({alg}))


def test_an_ecdsa_signature_in_der_is_refused() -> None:
    """C62"""
    key = make_key("ES256", "k")
    signing_input = key.sign(access_claims()).rpartition(".")[0]
    der = key.private.sign(signing_input.encode(), ec.ECDSA(hashes.SHA256()))
    with pytest.raises(BadSignature):
        verify(f"{signing_input}.{b64(der)}", keys_of(key))


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "EdDSA", "HS256"])
@pytest.mark.parametrize("length", [1, 31, 32, 63, 64, 65, 255, 256, 257, 1000])
def test_a_signature_of_any_length_is_refused_and_no_bug(alg: str, length: int) -> None:
    key, token = SAMPLES[alg]
    for filling in (b"\0", b"\xff"):
        with pytest.raises(BadSignature):
            verify(f"{token.rpartition('.')[0]}.{b64(filling * length)}", keys_of(key), algorithms=frozenset({alg}))


def test_a_token_signed_by_the_key_of_another_issuer_is_refused() -> None:
    """C51"""
    theirs = make_key("EdDSA", "theirs")
    with pytest.raises(UnknownKey):
        verify(theirs.sign(access_claims()))
    with pytest.raises(BadSignature):
        verify(theirs.sign(access_claims(), kid="k1"))


def test_claims_are_not_judged_before_the_signature() -> None:
    with pytest.raises(BadSignature):
        verify(make_key("EdDSA", "forger").sign(access_claims(exp=1, iss="https://other.example"), kid="k1"))


def test_keys_that_must_be_fetched_are_pending() -> None:
    async def ready() -> None: ...

    pending = Pending(ready)

    class Fetching:
        def lookup(self, kid: str | None, alg: str, now: float) -> Pending:
            return pending

    assert verify_jwt(read_jws(K1.sign(access_claims())), Fetching(), EXPECT, NOW) is pending
    with pytest.raises(WrongType):
        verify_jwt(read_jws(K1.sign(access_claims(), typ="JWT")), Fetching(), EXPECT, NOW)


# --- the claims


def refused(error: type[InvalidToken], changes: dict[str, Any], **expectations: Any) -> None:
    with pytest.raises(error) as caught:
        verify(K1.sign(access_claims(**changes)), **expectations)
    assert type(caught.value) is error


@pytest.mark.parametrize(
    "iss", [None, f"{ISSUER}/", ISSUER[:-1], f"{ISSUER}.evil.com", ISSUER.upper(), "", 1, [ISSUER], True]
)
def test_the_issuer_must_be_exact(iss: Any) -> None:
    """C50"""
    refused(WrongIssuer, {"iss": iss})


def test_one_of_several_audiences_suffices() -> None:
    """C53"""
    assert verify(K1.sign(access_claims(aud=["x", AUDIENCE])))
    assert verify(K1.sign(access_claims(aud=[AUDIENCE])), strict_audience=True)
    assert verify(K1.sign(access_claims()), strict_audience=True, audiences=frozenset({"y", AUDIENCE}))


@pytest.mark.parametrize("aud", [["x", AUDIENCE], [AUDIENCE, AUDIENCE]])
def test_a_strict_audience_is_the_only_one(aud: list[str]) -> None:
    """C53"""
    refused(WrongAudience, {"aud": aud}, strict_audience=True)


@pytest.mark.parametrize(
    "aud", [[], "", "x", ["x"], AUDIENCE + "/", AUDIENCE[:-1], f"{AUDIENCE} x", [AUDIENCE.upper()]]
)
def test_a_token_for_another_audience_is_refused(aud: Any) -> None:
    """C52"""
    refused(WrongAudience, {"aud": aud})


@pytest.mark.parametrize("aud", [[AUDIENCE, 1], [1], [[AUDIENCE]], {AUDIENCE: 1}, 1, True])
def test_an_audience_that_is_not_a_string_is_refused(aud: Any) -> None:
    """C54"""
    refused(InvalidClaim, {"aud": aud})
    with pytest.raises(InvalidClaim):
        verify(K1.sign(json.dumps(access_claims() | {"aud": None}).encode()))


def test_a_missing_audience_is_refused() -> None:
    """C52"""
    refused(MissingClaim, {"aud": None})


@pytest.mark.parametrize("aud", [None, "x", 1])
def test_the_audience_does_not_matter_where_none_is_expected(aud: Any) -> None:
    assert verify(K1.sign(access_claims(aud=aud)), audiences=frozenset())


@pytest.mark.parametrize(
    ("exp", "leeway", "good"),
    [
        (NOW - 6, 5, False),
        (NOW - 5, 5, False),
        (NOW - 4.9, 5, True),
        (NOW - 3, 5, True),
        (NOW, 0, False),
        (NOW + 0.5, 0, True),
    ],
)
def test_a_token_is_good_until_its_expiry_plus_leeway(exp: float, leeway: float, good: bool) -> None:
    """C13, C14, C15"""
    if good:
        assert verify(K1.sign(access_claims(exp=exp)), leeway=leeway)
    else:
        refused(ExpiredToken, {"exp": exp}, leeway=leeway)


def test_a_missing_expiry_is_refused() -> None:
    """C44"""
    refused(MissingClaim, {"exp": None})


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize(
    "value",
    [
        '"9999999999"',
        '"9_999_999_999"',
        '"١٢٣"',
        "true",
        "false",
        "null",
        "[]",
        "{}",
        "-1",
        "-0.5",
        "253402300800",
        "1e300",
        "18446744073709551615",
    ],
)
def test_a_time_that_is_not_a_sane_number_is_refused(name: str, value: str) -> None:
    """C45, C46"""
    claims = json.dumps(access_claims() | {name: "VALUE"}).replace('"VALUE"', value)
    with pytest.raises(InvalidClaim):
        verify(K1.sign(claims.encode()))


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e400", "1" * 30])
@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
def test_a_time_that_is_not_even_json_is_malformed(name: str, value: str) -> None:
    """C46"""
    claims = json.dumps(access_claims() | {name: "VALUE"}).replace('"VALUE"', value)
    with pytest.raises(MalformedToken):
        verify(K1.sign(claims.encode()))


@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_a_token_from_the_future_is_refused(name: str) -> None:
    """C47, C48"""
    refused(NotYetValid, {name: NOW + 60})
    refused(NotYetValid, {name: NOW + 5.5})
    assert verify(K1.sign(access_claims(**{name: NOW + 5})))


def test_a_token_that_lives_too_long_is_refused() -> None:
    """C49"""
    assert verify(K1.sign(access_claims(iat=NOW, exp=NOW + 86400)))
    refused(LifetimeTooLong, {"iat": NOW, "exp": NOW + 86401})
    refused(LifetimeTooLong, {"iat": NOW - 86400, "exp": NOW + 1})
    refused(LifetimeTooLong, {"iat": None, "exp": NOW + 86401}, required_claims=())
    assert verify(K1.sign(access_claims(iat=None, exp=NOW + 86400)), required_claims=())


def test_a_token_without_subject_is_refused() -> None:
    """C55"""
    refused(MissingClaim, {"sub": None})
    for sub in (1, "", ["alice"], True):
        refused(InvalidClaim, {"sub": sub})


@pytest.mark.parametrize("cnf", [{"jkt": "x"}, {"x5t#S256": "x"}, {}, "x", False])
def test_a_sender_constrained_token_is_no_bearer_token(cnf: Any) -> None:
    """C68, C69"""
    refused(BoundToken, {"cnf": cnf})
    with pytest.raises(BoundToken):
        verify(K1.sign(json.dumps(access_claims() | {"cnf": None}).encode()))


def test_required_claims_must_be_there() -> None:
    refused(MissingClaim, {"iat": None})
    refused(MissingClaim, {}, required_claims=("iat", "acr"))
    with pytest.raises(MissingClaim):
        verify(K1.sign(json.dumps(access_claims() | {"jti": None}).encode()), required_claims=("jti",))
    assert verify(K1.sign(access_claims(acr=0)), required_claims=("acr",))


@pytest.mark.parametrize(
    "payload", [b"[]", b'"alice"', b'{"sub":"a","sub":"b"}', b"\xef\xbb\xbf{}", '{"sub":"a"}'.encode("utf-16")]
)
def test_a_signed_payload_that_is_not_strict_json_is_malformed(payload: bytes) -> None:
    """C56, C57, C60"""
    with pytest.raises(MalformedToken):
        verify(K1.sign(payload))


def test_an_id_token_is_no_access_token() -> None:
    """C43: where `typ` cannot tell them apart, the audience does."""
    refused(WrongAudience, {"aud": "web", "nonce": "n"}, types=frozenset({"at+jwt", "jwt"}))


# --- the tables


def test_each_check_shows_what_it_compares() -> None:
    claims = access_claims(aud=["a"], iat=NOW, exp=NOW + 60)
    assert {check.name: check.shows(claims, EXPECT, NOW) for check in CLAIM_CHECKS} == {
        "issuer": "iss = 'https://gw.example', expected 'https://gw.example'",
        "audience": "aud = ['a'], expected one of ['https://api.example']",
        "expiry": "exp = 1800000060, now = 1800000000, leeway 5 s",
        "not_before": "nbf = absent, now = 1800000000, leeway 5 s",
        "issued_at": "iat = 1800000000, now = 1800000000, leeway 5 s",
        "lifetime": "from iat = 1800000000 to exp = 1800000060, at most 86400 s",
        "subject": "sub = 'alice'",
        "binding": "cnf = absent, expected absent",
        "required_claims": "iat = 1800000000",
    }
    header = {"alg": "EdDSA", "typ": "JWT"}
    assert {check.name: check.shows(header, EXPECT, NOW) for check in HEADER_CHECKS} == {
        "algorithm": "alg = 'EdDSA', expected one of ['ES256', 'EdDSA', 'PS256', 'RS256']",
        "type": "typ = 'JWT', expected one of ['at+jwt']",
    }


def test_the_checks_show_loose_expectations_and_long_values() -> None:
    expect = Expectations(ISSUER, frozenset(), ASYMMETRIC, types=frozenset({None}), required_claims=())
    shown = [check.shows({"aud": "x" * 5000}, expect, NOW) for check in CLAIM_CHECKS]
    assert max(map(len, shown)) < 300
    assert shown[1].endswith("expected one of anything")
    assert shown[-1] == "none"
    assert HEADER_CHECKS[1].shows({}, expect, NOW) == "typ = absent, expected one of ['absent']"
    strict = Expectations(ISSUER, frozenset({"a"}), ASYMMETRIC, strict_audience=True)
    assert CLAIM_CHECKS[1].shows({}, strict, NOW) == "aud = absent, expected only ['a']"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["iss", "aud", "exp", "nbf", "iat", "sub", "cnf", "acr"]), JSON))
def test_no_check_relies_on_another(claims: dict[str, Any]) -> None:
    """Each says yes or raises InvalidToken, whatever the others would say, and shows its values in either case."""
    for check in CLAIM_CHECKS:
        with suppress(InvalidToken):
            check.check(claims, EXPECT, NOW)
        assert check.shows(claims, EXPECT, NOW)


TIMES = st.sampled_from(
    [0, 1, NOW - 86400, NOW - 6, NOW - 5, NOW - 1, NOW, NOW + 0.5, NOW + 1, NOW + 6, LAST_SECOND, LAST_SECOND + 1]
)
VALUES = TIMES | TIMES.map(float) | st.sampled_from([ISSUER, AUDIENCE, [AUDIENCE], "", "alice", {}, -1, 1e300]) | JSON
NAMES = ["iss", "aud", "exp", "nbf", "iat", "sub", "cnf", "acr", "jti"]
EXPECTATIONS = st.builds(
    Expectations,
    st.just(ISSUER),
    st.sampled_from([frozenset[str](), frozenset({AUDIENCE}), frozenset({AUDIENCE, ""})]),
    st.just(ASYMMETRIC),
    leeway=st.sampled_from([0, 5, 0.5]),
    required_claims=st.sampled_from([("iat",), (), ("acr",), ("iat", "jti")]),
    max_lifetime=st.sampled_from([600, 86400, 0.5, 1e13]),
    strict_audience=st.booleans(),
)


@settings(deadline=None, max_examples=1000)
@given(
    st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=2),
    st.sets(st.sampled_from(NAMES), max_size=1),
    EXPECTATIONS,
)
@example({"exp": LAST_SECOND + 1}, set(), replace(EXPECT, max_lifetime=1e13))
def test_claims_are_good_exactly_if_no_check_says_otherwise(
    changes: dict[str, Any], absent: set[str], expect: Expectations
) -> None:
    """Claims that are plainly good are let through without asking each check."""
    claims = {name: value for name, value in (access_claims() | changes).items() if name not in absent}
    assert judged_by(lambda: check_claims(claims, expect, NOW)) is judged_by(lambda: each_check(claims, expect))


def each_check(claims: dict[str, Any], expect: Expectations) -> None:
    for check in CLAIM_CHECKS:
        check.check(claims, expect, NOW)


def judged_by(check: Callable[[], None]) -> type[InvalidToken] | None:
    try:
        check()
    except InvalidToken as error:
        return type(error)
    return None
