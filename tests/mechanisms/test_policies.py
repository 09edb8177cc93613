from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from gateway.mechanisms.policies import (
    PolicySettings,
    RequireAll,
    RequireAny,
    RequireAuthentication,
    RequireClaim,
    RequireNot,
    RequirePrincipal,
    RequireScopes,
)
from gateway.model.errors import InsufficientAuthentication, InsufficientScope, Refusal, RequirementNotMet
from gateway.model.principal import Principal
from tests.judging import principal
from tests.minting import NOW

SETTINGS: TypeAdapter[PolicySettings] = TypeAdapter(PolicySettings)


def check(written: dict[str, Any], caller: Principal, now: float = NOW) -> None:
    SETTINGS.validate_python(written).check(caller, now)


def holds(written: dict[str, Any], caller: Principal, now: float = NOW) -> bool:
    try:
        check(written, caller, now)
    except Refusal:
        return False
    return True


def with_scopes(*scopes: str) -> Principal:
    return principal(scopes=frozenset(scopes))


# --- scopes


def test_all_scopes_are_required_unless_any_will_do() -> None:
    both: dict[str, Any] = {"scopes": ["orders:read", "orders:write"]}
    assert holds(both, with_scopes("orders:read", "orders:write", "other"))
    assert not holds(both, with_scopes("orders:read"))
    assert holds({**both, "match": "any"}, with_scopes("orders:write"))
    assert not holds({**both, "match": "any"}, with_scopes("other"))


def test_a_missing_scope_is_named_in_the_refusal() -> None:
    """C16."""
    with pytest.raises(InsufficientScope, match="requires all of its scopes; missing: b") as caught:
        check({"scopes": ["a", "b"]}, with_scopes("a"))
    assert caught.value.scope == ("a", "b")


@pytest.mark.parametrize("held", ["orders", "orders:read:all", "ORDERS:READ", "orders:*", "orders:read,x", ""])
def test_scopes_are_compared_exactly(held: str) -> None:
    assert not holds({"scopes": ["orders:read"]}, with_scopes(held))


# --- a claim

CLAIMS = {
    "department": "sales",
    "level": 3,
    "ratio": 2.0,
    "staff": True,
    "nothing": None,
    "groups": ["a", "b c", 1, True],
    "words": "a b",
    "realm_access": {"roles": ["admin"]},
    "https://x.example/team": "red",
}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({"claim": "department", "equals": "sales"}, True),
        ({"claim": "department", "equals": "Sales"}, False),
        ({"claim": "level", "equals": 3}, True),
        ({"claim": "level", "equals": 3.0}, True),
        ({"claim": "ratio", "equals": 2}, True),
        ({"claim": "level", "equals": "3"}, False),
        ({"claim": "staff", "equals": True}, True),
        ({"claim": "staff", "equals": 1}, False),
        ({"claim": "staff", "equals": "true"}, False),
        ({"claim": "staff", "equals": False}, False),
        ({"claim": "absent", "equals": "x"}, False),
        ({"claim": "nothing", "equals": "null"}, False),
        ({"claim": "words", "equals": "a"}, False),
        ({"claim": "groups", "equals": "a"}, False),
        ({"claim": "realm_access", "equals": "roles"}, False),
        ({"claim": ["https://x.example/team"], "equals": "red"}, True),
        ({"claim": "department", "one_of": ["hr", "sales"]}, True),
        ({"claim": "department", "one_of": ["hr"]}, False),
        ({"claim": "staff", "one_of": [1, "true"]}, False),
        ({"claim": "department", "one_of": []}, False),
        ({"claim": "groups", "contains": "a"}, True),
        ({"claim": "groups", "contains": "b c"}, True),
        ({"claim": "groups", "contains": "b"}, False),
        ({"claim": "groups", "contains": 1}, True),
        ({"claim": "groups", "contains": "1"}, False),
        ({"claim": "words", "contains": "a"}, True),
        ({"claim": "words", "contains": "a b"}, False),
        ({"claim": "department", "contains": "sale"}, False),
        ({"claim": "realm_access", "contains": "roles"}, False),
        ({"claim": "level", "contains": 3}, False),
        ({"claim": "absent", "contains": "a"}, False),
        ({"claim": "realm_access.roles", "contains": "admin"}, True),
        ({"claim": "department", "exists": True}, True),
        ({"claim": "department", "exists": False}, False),
        ({"claim": "absent", "exists": True}, False),
        ({"claim": "absent", "exists": False}, True),
        ({"claim": "nothing", "exists": True}, False),
    ],
)
def test_a_claim_is_compared_by_value_and_json_type(written: dict[str, Any], expected: bool) -> None:
    assert holds(written, principal(CLAIMS)) == expected


JSON = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()


@given(JSON, st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text())
def test_a_claim_equals_a_setting_as_json_values_do(claim: Any, wanted: Any) -> None:
    def kind(value: Any) -> str:
        return "number" if type(value) in (int, float) else type(value).__name__

    same = kind(claim) == kind(wanted) and claim == wanted
    assert holds({"claim": "x", "equals": wanted}, principal({"x": claim})) == same
    assert holds({"claim": "x", "one_of": [wanted]}, principal({"x": claim})) == same
    assert holds({"claim": "x", "contains": wanted}, principal({"x": [claim]})) == same


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"claim": "department", "equals": "hr"}, 'claim department is a string; must equal "hr"'),
        ({"claim": "absent", "one_of": ["a", 1]}, 'claim absent is absent; must be one of ["a", 1]'),
        ({"claim": "groups", "contains": "x"}, 'claim groups is a list; must contain "x"'),
        ({"claim": "staff", "exists": False}, "claim staff is a boolean; must be absent"),
        ({"claim": "nothing", "exists": True}, "claim nothing is absent; must be present"),
        ({"claim": "level", "equals": True}, "claim level is a number; must equal true"),
        ({"claim": "ratio", "equals": True}, "claim ratio is a number; must equal true"),
        ({"claim": "realm_access.roles", "equals": 1}, "claim realm_access.roles is a list; must equal 1"),
        ({"claim": "realm_access", "equals": 1}, "claim realm_access is an object; must equal 1"),
    ],
)
def test_the_message_says_what_is_required_and_keeps_the_claims_value_out_of_the_log(
    written: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequirementNotMet) as caught:
        check(written, principal(CLAIMS))
    assert str(caught.value) == message


# --- who, and how they authenticated


def test_a_client_does_not_pass_for_a_user() -> None:
    """C70, RFC 9700 §4.15."""
    assert holds({"principal": "user"}, principal())
    assert holds({"principal": "client"}, principal(type="client"))
    with pytest.raises(RequirementNotMet, match="the caller is a client; must be a user"):
        check({"principal": "user"}, principal(type="client"))


@pytest.mark.parametrize("acr", [None, "pwd", "MFA", ["mfa"], True])
def test_a_weaker_authentication_is_told_what_would_be_enough(acr: Any) -> None:
    """C30, RFC 9470 §3."""
    assert holds({"acr": ["mfa", "hwk"]}, principal({"acr": "hwk"}))
    with pytest.raises(InsufficientAuthentication, match="must be one of") as caught:
        check({"acr": ["mfa", "hwk"]}, principal({"acr": acr}))
    assert caught.value.acr_values == ("mfa", "hwk")
    assert caught.value.max_age is None


def test_an_authentication_too_long_ago_is_told_how_recent_it_must_be() -> None:
    """C31."""
    assert holds({"max_age": "5m"}, principal({"auth_time": NOW - 300}))
    with pytest.raises(InsufficientAuthentication, match="authenticated 301 s ago; at most 300 s") as caught:
        check({"max_age": 300}, principal({"auth_time": NOW - 301}))
    assert caught.value.max_age == 300
    assert caught.value.acr_values == ()


@pytest.mark.parametrize("auth_time", [None, True, str(NOW), [NOW]])
def test_without_an_authentication_time_it_is_not_recent(auth_time: Any) -> None:
    with pytest.raises(InsufficientAuthentication, match="must be a time"):
        check({"max_age": 300}, principal({"auth_time": auth_time}))


def test_strength_and_age_hold_together() -> None:
    both: dict[str, Any] = {"acr": ["mfa"], "max_age": 300}
    assert holds(both, principal({"acr": "mfa", "auth_time": NOW - 0.5}))
    assert not holds(both, principal({"acr": "mfa", "auth_time": NOW - 301}))
    assert not holds(both, principal({"acr": "pwd", "auth_time": NOW}))


# --- combinations


def test_any_needs_one_and_reports_the_first() -> None:
    either: dict[str, Any] = {"any": [{"scopes": ["a"]}, {"principal": "client"}]}
    assert holds(either, with_scopes("a"))
    assert holds(either, principal(type="client"))
    with pytest.raises(InsufficientScope):
        check(either, principal())


def test_all_needs_each_and_reports_the_one_that_fails() -> None:
    both: dict[str, Any] = {"all": [{"scopes": ["a"]}, {"principal": "client"}]}
    assert holds(both, principal(type="client", scopes=frozenset({"a"})))
    with pytest.raises(RequirementNotMet):
        check(both, with_scopes("a"))


def test_not_turns_a_policy_around() -> None:
    written: dict[str, Any] = {"not": {"claim": "suspended", "equals": True}}
    assert holds(written, principal())
    with pytest.raises(RequirementNotMet, match="must not hold: suspended = True"):
        check(written, principal({"suspended": True}))


NESTED = st.recursive(
    st.sampled_from([{"scopes": ["a"]}, {"scopes": ["b"]}, {"principal": "user"}]),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map(lambda members: {"any": members})
        | st.lists(inner, min_size=1, max_size=3).map(lambda members: {"all": members})
        | inner.map(lambda member: {"not": member})
    ),
    max_leaves=8,
)


def truth(written: dict[str, Any], caller: Principal) -> bool:
    match written:
        case {"any": members}:
            return any(truth(member, caller) for member in members)
        case {"all": members}:
            return all(truth(member, caller) for member in members)
        case {"not": member}:
            return not truth(member, caller)
        case {"scopes": [scope]}:
            return scope in caller.scopes
    return caller.type == "user"


@given(NESTED, st.sets(st.sampled_from("ab")), st.sampled_from(["user", "client"]))
def test_combinations_are_logic(written: dict[str, Any], scopes: set[str], kind: str) -> None:
    caller = principal(scopes=frozenset(scopes), type=kind)
    assert holds(written, caller) == truth(written, caller)


# --- settings


@pytest.mark.parametrize(
    "policy",
    [
        RequireScopes(scopes=("a",)),
        RequireClaim(claim=("a",), exists=False),
        RequirePrincipal(principal="user"),
        RequireAuthentication(max_age=1),
        RequireAny(any=(RequirePrincipal(principal="user"),)),
        RequireAll(all=(RequirePrincipal(principal="user"),)),
        RequireNot(**{"not": RequirePrincipal(principal="user")}),
    ],
)
def test_a_policy_is_its_own_setting(policy: Any) -> None:
    assert SETTINGS.validate_python(policy) == policy
    assert SETTINGS.validate_python(policy.model_dump(by_alias=True, exclude_none=True)) == policy


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({}, "must have one of the keys scopes, claim, principal, acr, max_age, any, all, not"),
        ("user", "must have one of the keys"),
        ({"role": "admin"}, "must have one of the keys"),
        ({"claim": "a"}, "needs exactly one of equals, one_of, contains, exists"),
        ({"claim": "a", "equals": 1, "exists": True}, "needs exactly one of"),
        ({"acr": None}, "needs acr, max_age or both"),
        ({"acr": []}, "at least 1 item"),
        ({"scopes": []}, "at least 1 item"),
        ({"scopes": ["a b"]}, "pattern"),
        ({"scopes": ["a\n"]}, "pattern"),
        ({"scopes": ['"']}, "pattern"),
        ({"any": []}, "at least 1 item"),
        ({"all": []}, "at least 1 item"),
        ({"scopes": ["a"], "principal": "user"}, "Extra inputs"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(written: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SETTINGS.validate_python(written)


@pytest.mark.parametrize(
    ("policy", "words", "claims"),
    [
        ({"scopes": ["a", "b"]}, "scope a b", ()),
        ({"scopes": ["a", "b"], "match": "any"}, "any scope of a b", ()),
        ({"claim": "dept.name", "equals": "x"}, "dept.name = x", (("dept", "name"),)),
        ({"claim": "dept", "one_of": ["x", 1]}, "dept in x, 1", (("dept",),)),
        ({"claim": "roles", "contains": "admin"}, "roles contains admin", (("roles",),)),
        ({"claim": "mail", "exists": True}, "mail present", (("mail",),)),
        ({"claim": "mail", "exists": False}, "mail absent", (("mail",),)),
        ({"principal": "client"}, "a client", ()),
        (
            {"acr": ["gold", "silver"], "max_age": "5m"},
            "acr in gold, silver, authenticated in the last 300 s",
            (("acr",), ("auth_time",)),
        ),
        ({"max_age": "5m"}, "authenticated in the last 300 s", (("auth_time",),)),
        ({"any": [{"claim": "a", "exists": True}, {"not": {"acr": ["b"]}}]}, "(a present or not (acr in b))", None),
        ({"all": [{"scopes": ["a"]}, {"claim": "b", "equals": 1}]}, "(scope a and b = 1)", (("b",),)),
    ],
)
def test_a_policy_is_said_in_few_words(
    policy: dict[str, Any], words: str, claims: tuple[tuple[str, ...], ...] | None
) -> None:
    settings = SETTINGS.validate_python(policy)
    assert settings.words == words
    assert settings.claims == (claims if claims is not None else (("a",), ("acr",)))
