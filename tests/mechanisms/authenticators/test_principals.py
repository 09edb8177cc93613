from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mechanisms.authenticators.principals import Principals
from gateway.model.principal import Principal
from gateway.model.revocation import Level, generation_mark, mark, session_mark, token_name
from tests.minting import ISSUER, NOW, access_claims, b64

SID = b64(bytes(range(16)))


def of(claims: dict[str, Any], principals: Principals | None = None) -> Principal:
    return (principals or Principals("idp", ISSUER, 5)).principal(claims, "token", "key-1")


def test_a_principal_is_what_the_claims_say() -> None:
    claims = access_claims(exp=NOW + 0.5)
    principal = of(claims)
    assert (principal.subject, principal.issuer, principal.type) == ("alice", ISSUER, "user")
    assert principal.claims is claims
    assert principal.scopes == {"orders:read", "orders:write"}
    assert (principal.issued_at, principal.expires_at, principal.usable_until) == (NOW - 10, NOW, NOW + 5.5)
    assert (principal.token_id, principal.client_id) == ("token-1", "web")
    assert (principal.authenticator, principal.verified_by) == ("idp", "key-1")
    assert (principal.session_id, principal.generation) == (None, None)


def test_the_principal_of_our_own_token_has_its_session_and_is_a_user() -> None:
    """Its ordinal is the time of the login."""
    claims = access_claims(sub="web", sid=SID, auth_time=NOW - 60)
    principal = Principals("own", ISSUER, 5).own_principal(claims, "token", "key-1", SID, 3)
    assert (principal.type, principal.session_id, principal.generation) == ("user", SID, 3)
    assert principal.marks == (
        (mark(Level.EVERYTHING, "", ""), NOW - 60),
        (mark(Level.ISSUER, ISSUER, ""), NOW - 60),
        (mark(Level.CLIENT, ISSUER, "web"), NOW - 60),
        (mark(Level.SUBJECT, ISSUER, "web"), NOW - 60),
        (session_mark(SID), NOW - 60),
        (mark(Level.TOKEN, ISSUER, "token-1"), NOW - 60),
        (generation_mark(SID), 3),
    )


@pytest.mark.parametrize(
    ("changes", "kind"),
    [({}, "user"), ({"sub": "web"}, "client"), ({"idtyp": "app"}, "client"), ({"gty": "client-credentials"}, "client")],
)
def test_a_client_never_passes_for_a_user(changes: dict[str, Any], kind: str) -> None:
    """C70"""
    assert of(access_claims(**changes)).type == kind


ODD = st.none() | st.integers() | st.lists(st.integers(), max_size=1)
TEXT = st.sampled_from(["", "a", "b", "web", "alice"])


@given(st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(("client_id", "azp", "sid", "jti"), TEXT | ODD))))
def test_the_marks_are_those_of_each_token_whatever_came_before(tokens: list[dict[str, Any]]) -> None:
    """What is remembered of one token never shows in another."""
    principals = Principals("idp", ISSUER, 5)
    for claims in tokens:
        principal = of({**claims, "sub": "alice", "exp": NOW}, principals)
        names = {
            Level.EVERYTHING: "",
            Level.ISSUER: "",
            Level.CLIENT: principal.client_id,
            Level.SUBJECT: "alice",
            Level.SESSION: claims.get("sid"),
            Level.TOKEN: principal.token_id or token_name("token"),
        }
        expected = [(mark(level, ISSUER, name), -1) for level, name in names.items() if isinstance(name, str)]
        assert list(principal.marks) == expected


WORDS = st.lists(st.sampled_from(["a", "b", "orders:read", ""]), max_size=4)
GRANTS = WORDS.map(" ".join) | WORDS | st.lists(st.sampled_from(["a", 1, None]), max_size=2) | ODD


@given(st.lists(st.fixed_dictionaries({}, optional={"scope": GRANTS, "scp": GRANTS}), max_size=4))
def test_the_scopes_are_those_of_each_token_whatever_came_before(tokens: list[dict[str, Any]]) -> None:
    principals = Principals("idp", ISSUER, 5)
    for claims in tokens:
        granted = set()
        for value in claims.values():
            words = value.split() if isinstance(value, str) else value if isinstance(value, list) else []
            granted |= {word for word in words if isinstance(word, str) and word}
        assert of({**claims, "sub": "alice", "exp": NOW}, principals).scopes == granted
