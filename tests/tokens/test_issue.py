from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model.errors import InvalidToken, UnknownRefreshToken
from gateway.tokens import base64url
from gateway.tokens.issue import RESERVED_CLAIMS, access_token, access_token_id, own_expectations
from gateway.tokens.jose import read_jws
from gateway.tokens.refresh_token import read_refresh_token
from gateway.tokens.verify import Verified, verify_jwt
from tests.minting import AUDIENCE, ISSUER, NOW
from tests.own_tokens import SID, a_session, own_keys, usual_keys

ALGORITHMS = ("EdDSA", "ES256", "RS256", "HS256")
EXPECT = own_expectations(ISSUER, [AUDIENCE])


def issued(alg: str = "EdDSA", **changes: Any) -> str:
    return access_token(a_session(**changes), usual_keys(alg).signing_key(NOW), ISSUER, (AUDIENCE,))


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_an_access_token_tells_of_its_session(alg: str) -> None:
    jws = read_jws(issued(alg))
    assert jws.header == {"alg": alg, "kid": "a1", "typ": "at+jwt"}
    assert jws.payload == {
        "iss": ISSUER,
        "sub": "alice",
        "aud": AUDIENCE,
        "exp": NOW + 600,
        "iat": NOW,
        "jti": access_token_id(a_session()),
        "client_id": "web",
        "scope": "orders:read",
        "sid": SID,
        "gen": 3,
        "auth_time": NOW - 5000,
        "roles": ["admin"],
        "plan": {"a": [2], "b": 1},
    }
    assert isinstance(verify_jwt(jws, own_keys(alg), EXPECT, NOW), Verified)


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_the_same_record_gives_the_same_token(alg: str) -> None:
    """C74: with ES256 only the signature differs."""
    reordered = {"plan": {"a": [2], "b": 1}, "roles": ["admin"]}
    first, second = issued(alg), issued(alg, claims=reordered)
    if alg == "ES256":
        first, second = first.rpartition(".")[0], second.rpartition(".")[0]
    assert first == second


@pytest.mark.parametrize("changes", [{"sid": SID[:-2] + "Ag"}, {"generation": 4}, {"access_issued_at": NOW + 1}])
def test_each_token_has_its_own_name(changes: dict[str, Any]) -> None:
    names = [access_token_id(a_session()), access_token_id(a_session(**changes))]
    assert len(set(names)) == 2
    assert [len(base64url.decode(name.encode())) for name in names] == [16, 16]


def test_several_audiences_are_a_list() -> None:
    key = usual_keys().signing_key(NOW)
    claims = read_jws(access_token(a_session(), key, ISSUER, ("a", "b"))).payload
    assert claims["aud"] == ["a", "b"]


def test_a_token_never_outlives_its_session() -> None:
    assert read_jws(issued(absolute_expires_at=NOW + 60)).payload["exp"] == NOW + 60


def test_claims_of_the_session_never_replace_the_gateways_own() -> None:
    """Nor do they add a scope, a binding or a later beginning where the gateway says nothing."""
    claims = read_jws(issued(claims=dict.fromkeys(RESERVED_CLAIMS, "evil"), access_scope="")).payload
    assert "evil" not in claims.values()
    assert not {"scope", "scp", "cnf", "nbf"} & claims.keys()
    assert set(EXPECT.required_claims) <= RESERVED_CLAIMS


@pytest.mark.parametrize("name", ["iat", "jti", "client_id", "sid", "gen"])
def test_our_own_tokens_have_all_their_claims(name: str) -> None:
    key = usual_keys().signing_key(NOW)
    claims = {claim: value for claim, value in read_jws(issued()).payload.items() if claim != name}
    with pytest.raises(InvalidToken, match=f"{name} is missing or null"):
        verify_jwt(read_jws(key.sign(claims, typ="at+jwt")), own_keys(), EXPECT, NOW)


TOKENS = {alg: issued(alg) for alg in ALGORITHMS}


@settings(deadline=None)
@given(st.sampled_from(ALGORITHMS), st.data())
def test_an_access_token_with_any_bit_flipped_is_refused(alg: str, data: st.DataObject) -> None:
    """C63"""
    flipped = bytearray(TOKENS[alg].encode())
    bit = data.draw(st.integers(0, len(flipped) * 8 - 1))
    flipped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(InvalidToken):
        verify_jwt(read_jws(flipped.decode("latin-1")), own_keys(alg), EXPECT, NOW)


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_an_access_token_is_no_refresh_token(alg: str) -> None:
    """C43"""
    with pytest.raises(UnknownRefreshToken):
        read_refresh_token(TOKENS[alg], usual_keys(alg), ISSUER)
