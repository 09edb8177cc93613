import json
import re
from typing import Any
from urllib.parse import unquote

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from gateway.mechanisms.base import HeaderEdits
from gateway.mechanisms.mutators import (
    ClaimHeader,
    FixedHeader,
    IdentityToken,
    IdentityTokenSettings,
    MutatorSettings,
    TemplateHeader,
    claim_text,
    header_safe,
)
from gateway.model.principal import Principal
from gateway.tokens.signing import SigningKey, signing_key
from tests.judging import principal
from tests.minting import ISSUER, NOW, make_key

SETTINGS: TypeAdapter[MutatorSettings] = TypeAdapter(MutatorSettings)
SAFE = re.compile(r"(?:[!-~](?:[ -~]*[!-~])?)?")
TEXT = st.text(st.characters(codec="utf-8")) | st.text('a ,%\r\n\x00"é\t;', max_size=8)


def edited(written: dict[str, Any], caller: Principal) -> list[tuple[str, str]]:
    mutator = SETTINGS.validate_python(written)
    assert not isinstance(mutator, IdentityTokenSettings)
    return list(mutator.edit(caller, NOW).headers)


# --- values


@given(TEXT, st.booleans())
def test_a_value_is_always_header_safe_and_can_be_read_back(text: str, in_list: bool) -> None:
    """C26: CR, LF, NUL and non-ASCII never reach the wire; nothing is lost."""
    value = header_safe(text, in_list=in_list)
    assert SAFE.fullmatch(value)
    assert unquote(value) == text
    assert not (in_list and "," in value)


@given(TEXT)
def test_a_value_that_is_safe_stays_as_it_is(text: str) -> None:
    if SAFE.fullmatch(text) and "%" not in text:
        assert header_safe(text) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Doe, John", "Doe, John"),
        ("a\r\nX-Admin: 1", "a%0D%0AX-Admin: 1"),
        ("a\nb", "a%0Ab"),
        ("100%", "100%25"),
        ("%0d%0a", "%250d%250a"),
        (" a b ", "%20a b%20"),
        ("   ", "%20%20%20"),
        ("\t", "%09"),
        ("\x7f\x00", "%7F%00"),
        ("김", "%EA%B9%80"),
        ("", ""),
        ("é", "%C3%A9"),
    ],
)
def test_response_splitting_in_a_claim_is_encoded(text: str, value: str) -> None:
    """C26."""
    assert header_safe(text) == value


@pytest.mark.parametrize(
    ("claim", "text"),
    [("a", "a"), (1, "1"), (1.5, "1.5"), (True, "true"), ({"a": [1, "é"]}, '{"a":[1,"\\u00e9"]}'), ([], "[]")],
)
def test_a_claim_that_is_no_string_is_written_as_json(claim: Any, text: str) -> None:
    assert claim_text(claim) == text


# --- a claim in a header


@pytest.mark.parametrize(
    ("claim", "values"),
    [
        ("alice", ["alice"]),
        ("", [""]),
        (0, ["0"]),
        (False, ["false"]),
        ({"a": 1}, ['{"a":1}']),
        (["a", "b c", 1, None, "d,e"], ["a,b c,1,d%2Ce"]),
        ([], []),
        ([None], []),
        (("a", "b"), ["a,b"]),
    ],
)
def test_a_claim_becomes_a_header_and_a_list_a_list(claim: Any, values: list[str]) -> None:
    headers = edited({"header": "X-Claim", "claim": "c"}, principal({"c": claim}))
    assert headers == [("X-Claim", value) for value in values]


@given(TEXT)
def test_a_claim_in_a_header_is_header_safe(text: str) -> None:
    """C26"""
    caller = principal({"c": text})
    assert edited({"header": "X-Claim", "claim": "c"}, caller) == [("X-Claim", header_safe(text))]


@pytest.mark.parametrize("claim", ["absent", "nothing", "sub.deeper"])
@pytest.mark.parametrize("style", ["comma", "repeat", "json"])
def test_an_absent_claim_is_an_absent_header(claim: str, style: str) -> None:
    """CVE-2026-31908: the client's own is dropped by the contract, and nobody sets another."""
    assert edited({"header": "X-Claim", "claim": claim, "list": style}, principal({"nothing": None})) == []


def test_a_list_may_be_repeated_or_json() -> None:
    caller = principal({"roles": ["a", "b%", None]})
    written = {"header": "X-Roles", "claim": "roles"}
    assert edited({**written, "list": "repeat"}, caller) == [("X-Roles", "a"), ("X-Roles", "b%25")]
    assert edited({**written, "list": "json"}, caller) == [("X-Roles", '["a","b%25",null]')]


@pytest.mark.parametrize("style", ["comma", "repeat"])
def test_a_comma_in_one_role_does_not_make_two(style: str) -> None:
    """Whoever joins repeated headers with commas (RFC 9110 §5.3) must not see a role that nobody granted."""
    headers = edited({"header": "X-Roles", "claim": "roles", "list": style}, principal({"roles": ["x,admin", "y"]}))
    joined = ",".join(value for _, value in headers)
    assert [unquote(member) for member in joined.split(",")] == ["x,admin", "y"]


@given(st.lists(TEXT, min_size=1), st.sampled_from(["comma", "repeat"]))
def test_a_list_can_be_read_back(members: list[str], style: str) -> None:
    headers = edited({"header": "X-Roles", "claim": "roles", "list": style}, principal({"roles": members}))
    assert all(SAFE.fullmatch(value) for _, value in headers)
    assert [unquote(member) for _, value in headers for member in value.split(",")] == members


@given(st.lists(TEXT | st.integers() | st.booleans()))
def test_a_json_list_can_be_read_back(members: list[Any]) -> None:
    [(_, value)] = edited({"header": "X-Roles", "claim": "roles", "list": "json"}, principal({"roles": members}))
    assert SAFE.fullmatch(value)
    assert json.loads(unquote(value)) == members


# --- fixed and composed headers


def test_a_fixed_header_is_the_same_for_everybody() -> None:
    assert edited({"header": "X-Gateway", "value": "yes, it is"}, principal()) == [("X-Gateway", "yes, it is")]


def test_a_template_is_filled_with_claims() -> None:
    written = {"header": "X-User", "template": "{iss}#{sub} ({realm.level})"}
    assert edited(written, principal({"realm": {"level": 3}})) == [("X-User", f"{ISSUER}#alice (3)")]


@pytest.mark.parametrize("claims", [{}, {"a": "x"}, {"a": "x", "b": None}])
def test_a_template_without_all_its_claims_is_absent(claims: dict[str, Any]) -> None:
    assert edited({"header": "X-User", "template": "{a}-{b}"}, principal(claims)) == []


@given(TEXT, TEXT)
def test_no_claim_can_be_taken_for_a_part_of_the_template(org: str, name: str) -> None:
    """A name that a user may choose, such as `b/admin`, must not make another `org` of it."""
    [(_, value)] = edited({"header": "X-User", "template": "{org}/-{name}"}, principal({"org": org, "name": name}))
    assert SAFE.fullmatch(value)
    assert [unquote(part) for part in value.split("/-")] == [org, name]
    assert value.count("/") == value.count("-") == 1


def test_a_claim_in_a_template_is_not_a_template() -> None:
    caller = principal({"a": "{b}", "b": "secret"})
    assert edited({"header": "X-User", "template": "{a}{a}-{b}"}, caller) == [("X-User", "{b}{b}-secret")]


@given(TEXT)
def test_a_filled_template_is_header_safe(text: str) -> None:
    [(_, value)] = edited({"header": "X-User", "template": "<{a}> 100%"}, principal({"a": text}))
    assert SAFE.fullmatch(value)
    assert unquote(value) == f"<{text}> 100%"


# --- an identity token


@pytest.fixture(scope="module")
def key() -> SigningKey:
    return signing_key(make_key("EdDSA", "identity").private_pem())


def identity_token(key: SigningKey, **settings: Any) -> IdentityToken:
    written = {"identity_token": "X-Identity", "audience": "orders", **settings}
    return IdentityTokenSettings.model_validate(written).build("https://gateway.example", key)


def claims_of(edits: HeaderEdits, key: SigningKey) -> dict[str, Any]:
    [(name, token)] = edits.headers
    assert name == "X-Identity"
    assert SAFE.fullmatch(token)
    assert jwt.get_unverified_header(token) == {"alg": "EdDSA", "typ": "JWT", "kid": key.kid}
    public = jwt.PyJWK(dict(key.jwk)).key
    return jwt.decode(token, public, ["EdDSA"], options={"verify_aud": False, "verify_exp": False, "verify_iat": False})


def test_an_identity_token_says_who_calls_and_who_said_so(key: SigningKey) -> None:
    caller = principal({"team": "red"}, client_id="web", scopes=frozenset({"b", "a"}))
    edits = identity_token(key, claims=["team", "absent"]).edit(caller, NOW + 0.7)
    assert claims_of(edits, key) == {
        "iss": "https://gateway.example",
        "sub": "alice",
        "aud": "orders",
        "iat": NOW,
        "exp": NOW + 60,
        "client_id": "web",
        "scope": "a b",
        "origin_iss": ISSUER,
        "principal_type": "user",
        "team": "red",
    }
    assert edits.usable_until == NOW + 30.7


def test_what_is_unknown_is_left_out(key: SigningKey) -> None:
    assert not {"client_id", "scope"} & claims_of(identity_token(key).edit(principal(), NOW), key).keys()


def test_a_copied_claim_cannot_replace_the_gateways_own(key: SigningKey) -> None:
    forged = {"iss": "evil", "aud": "evil", "exp": NOW + 10**6, "origin_iss": "evil", "principal_type": "admin"}
    claims = claims_of(identity_token(key, claims=list(forged)).edit(principal(forged), NOW), key)
    assert not any(claims[name] == value for name, value in forged.items())


def test_an_identity_token_never_outlives_the_callers(key: SigningKey) -> None:
    edits = identity_token(key, lifetime=600).edit(principal(usable_until=NOW + 20.5), NOW)
    assert claims_of(edits, key)["exp"] == NOW + 20
    assert edits.usable_until == NOW + 20


def test_an_identity_token_is_made_anew_when_half_of_it_has_passed(key: SigningKey) -> None:
    assert identity_token(key, lifetime=100).edit(principal(), NOW).usable_until == NOW + 50


# --- ownership and settings


@pytest.mark.parametrize(
    ("written", "setting"),
    [
        ({"header": "X-A", "claim": "sub"}, ClaimHeader),
        ({"header": "X-A", "value": "a"}, FixedHeader),
        ({"header": "X-A", "template": "{sub}"}, TemplateHeader),
        ({"identity_token": "X-A", "audience": "a"}, IdentityTokenSettings),
    ],
)
def test_a_mutator_owns_the_header_it_may_set(written: dict[str, Any], setting: type, key: SigningKey) -> None:
    mutator = SETTINGS.validate_python(written)
    assert isinstance(mutator, setting)
    assert mutator.owned == {"X-A"}
    assert SETTINGS.validate_python(mutator) == mutator
    if isinstance(mutator, IdentityTokenSettings):
        assert mutator.build(ISSUER, key).owned == {"X-A"}


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"header": "X-A"}, "must have one of the keys claim, value, template, identity_token"),
        ("X-A", "must have one of the keys"),
        ({"header": "X_A", "claim": "sub"}, "pattern"),
        ({"header": "X-A", "value": "a\r\nb"}, "pattern"),
        ({"header": "X-A", "value": "a\n"}, "pattern"),
        ({"header": "X-A", "value": "é"}, "pattern"),
        ({"header": "X-A", "value": ""}, "pattern"),
        ({"header": "X-A", "value": " a"}, "pattern"),
        ({"header": "X-A", "template": "a\n{sub}"}, "pattern"),
        ({"identity_token": "X-A", "audience": ""}, "at least 1 character"),
        ({"identity_token": "X-A", "audience": "a", "lifetime": 5}, "greater than or equal to 10"),
        ({"header": "X-A", "claim": "sub", "value": "a"}, "Extra inputs"),
    ],
)
def test_a_mutator_that_cannot_work_is_refused(written: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SETTINGS.validate_python(written)
