import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.mechanisms.authenticators.issued import IssuedSettings
from gateway.mechanisms.base import Authenticator, BadSetting, OwnTokens, Resources, offline_resources
from gateway.model.errors import (
    ExpiredToken,
    InvalidClaim,
    InvalidToken,
    LifetimeTooLong,
    MalformedToken,
    MissingClaim,
    NotYetValid,
    UnknownKey,
    UnsupportedHeader,
    WrongAlgorithm,
    WrongAudience,
    WrongIssuer,
    WrongType,
)
from gateway.model.principal import Principal
from gateway.model.revocation import Level, Revocation, generation_mark, mark, session_mark
from gateway.state.revocations import RevocationView
from gateway.tokens.issue import access_token, access_token_id, own_expectations
from gateway.tokens.own_keys import OwnKeys
from gateway.tokens.refresh_token import make_refresh_token
from tests.minting import AUDIENCE, ISSUER, NOW, SigningKey, access_claims, b64, make_key
from tests.own_tokens import SID, a_session, keyring, private_jwk, refresh_jwk, usual_keys

ALGORITHMS = ("EdDSA", "ES256", "RS256", "HS256")
A1, A2, A3 = make_key("EdDSA", "a1"), make_key("RS256", "a2"), make_key("HS256", "a3")


class Bench:
    """An `issued` authenticator over keys of every kind, and which generations it told of."""

    def __init__(self, **changes: Any) -> None:
        self.keys = OwnKeys(keyring(private_jwk(A1), private_jwk(A2), private_jwk(A3), refresh_jwk()))
        self.seen: list[tuple[str, int]] = []
        own = OwnTokens(
            self.keys, own_expectations(ISSUER, [AUDIENCE]), lambda sid, generation: self.seen.append((sid, generation))
        )
        self.authenticator = issued_settings(**changes).build("own", resources(own))


def resources(own: OwnTokens | None) -> Resources:
    return replace(offline_resources(Path()), own=own)


def issued_settings(**changes: Any) -> IssuedSettings:
    return IssuedSettings.model_validate({"type": "issued", **changes})


def own_claims(**changes: Any) -> dict[str, Any]:
    return access_claims(**{"sid": SID, "gen": 3, "auth_time": NOW - 60, **changes})


def prove(authenticator: Authenticator, token: str, now: float = NOW) -> Principal:
    principal = authenticator.authenticate(token, now)
    assert isinstance(principal, Principal)
    return principal


def refused(error: type[InvalidToken], token: str, now: float = NOW) -> None:
    bench = Bench()
    with pytest.raises(error):
        bench.authenticator.authenticate(token, now)
    assert bench.seen == []
    assert bench.authenticator.recall(token) is None


# --- the principal


def test_our_own_token_proves_a_principal_with_its_session() -> None:
    authenticator = Bench().authenticator
    session = a_session()
    token = access_token(session, usual_keys().signing_key(NOW), ISSUER, (AUDIENCE,))
    assert authenticator.accepts(token)
    principal = prove(authenticator, token)
    assert (principal.subject, principal.issuer, principal.client_id) == ("alice", ISSUER, "web")
    assert principal.scopes == {"orders:read"}
    assert (principal.session_id, principal.generation) == (SID, 3)
    assert (principal.token_id, principal.authenticator) == (access_token_id(session), "own")
    assert principal.marks == (
        (mark(Level.EVERYTHING, "", ""), session.created_at),
        (mark(Level.ISSUER, ISSUER, ""), session.created_at),
        (mark(Level.CLIENT, ISSUER, "web"), session.created_at),
        (mark(Level.SUBJECT, ISSUER, "alice"), session.created_at),
        (session_mark(SID), session.created_at),
        (mark(Level.TOKEN, ISSUER, access_token_id(session)), session.created_at),
        (generation_mark(SID), 3),
    )


def test_a_user_who_is_called_like_a_client_is_still_a_user() -> None:
    """C70 the other way round: there are no sessions of clients."""
    for changes in ({"sub": "web"}, {"idtyp": "app"}, {"gty": "client-credentials"}):
        assert prove(Bench().authenticator, A1.sign(own_claims(**changes))).type == "user"


def test_each_token_is_told_of_when_it_is_first_seen() -> None:
    bench = Bench()
    first, second = A1.sign(own_claims()), A1.sign(own_claims(gen=4))
    for token in (first, first, second, first):
        if bench.authenticator.recall(token) is None:
            prove(bench.authenticator, token)
    assert bench.seen == [(SID, 3), (SID, 4)]


@pytest.mark.parametrize("key", [A1, A2, A3], ids=lambda key: str(key.alg))
def test_a_token_of_each_key_passes(key: SigningKey) -> None:
    assert prove(Bench().authenticator, key.sign(own_claims())).session_id == SID


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt"])
def test_the_type_is_accepted_in_any_case(typ: str) -> None:
    """C42"""
    assert prove(Bench().authenticator, A1.sign(own_claims(), typ=typ))


def test_the_leeway_is_that_of_the_setting() -> None:
    token = A1.sign(own_claims())
    assert prove(Bench(leeway=60).authenticator, token, NOW + 659)
    with pytest.raises(ExpiredToken):
        Bench(leeway=0).authenticator.authenticate(token, NOW + 600)


# --- attacks


def unsigned(alg: str) -> str:
    return ".".join(
        [b64(json.dumps({"alg": alg, "typ": "at+jwt"}).encode()), b64(json.dumps(own_claims()).encode()), ""]
    )


@pytest.mark.parametrize("alg", ["none", "None", "nOnE"])
def test_an_unsigned_token_is_refused(alg: str) -> None:
    """C32"""
    refused(MalformedToken, unsigned(alg))
    refused(WrongAlgorithm, A1.sign(own_claims(), alg=alg))


@pytest.mark.parametrize("public", [A2.public_pem(), json.dumps(A2.jwk()).encode(), b64(A2.public_pem()).encode()])
@pytest.mark.parametrize("kid", ["a1", "a2"])
def test_a_public_key_is_never_an_hmac_secret(public: bytes, kid: str) -> None:
    """C33: not even where another of our own keys is an HMAC secret."""
    refused(WrongAlgorithm, SigningKey("HS256", kid, public).sign(own_claims()))


@pytest.mark.parametrize(
    ("key", "header", "error"),
    [
        (A2, {"kid": "a1"}, WrongAlgorithm),
        (make_key("PS256", "a2"), {}, WrongAlgorithm),
        (make_key("HS512", "a3"), {}, WrongAlgorithm),
        (make_key("ES256", "a1"), {}, WrongAlgorithm),
        (A1, {"kid": "unknown"}, UnknownKey),
        (A1, {"kid": "../../etc/passwd"}, UnknownKey),
        (A1, {"kid": "' OR 1=1"}, UnknownKey),
        (A1, {"kid": "k" * 1024}, UnknownKey),
        (A1, {"kid": None}, UnknownKey),
        (A3, {"kid": "0"}, UnknownKey),
        (make_key("EdDSA", "theirs"), {"kid": "a1"}, InvalidToken),
        (make_key("RS256", "theirs"), {"kid": "a2", "jwk": make_key("RS256", "theirs").jwk()}, InvalidToken),
        (A1, {"crit": ["x"]}, UnsupportedHeader),
        (A1, {"crit": ["b64"], "b64": False}, UnsupportedHeader),
        (A1, {"typ": "JWT"}, WrongType),
        (A1, {"typ": "rt+jwt"}, WrongType),
        (A1, {"typ": "dpop+jwt"}, WrongType),
        (A1, {"typ": "logout+jwt"}, WrongType),
        (A1, {"typ": "secevent+jwt"}, WrongType),
        (A1, {"typ": None}, WrongType),
    ],
)
def test_a_bad_header_is_refused(key: SigningKey, header: dict[str, Any], error: type[InvalidToken]) -> None:
    """C34, C35, C36, C37, C38, C39, C41, C51"""
    refused(error, key.sign(own_claims(), **header))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"exp": None}, MissingClaim),
        ({"exp": "9999999999"}, InvalidClaim),
        ({"exp": True}, InvalidClaim),
        ({"exp": -1}, InvalidClaim),
        ({"exp": NOW - 6}, ExpiredToken),
        ({"nbf": NOW + 60}, NotYetValid),
        ({"iat": NOW + 60}, NotYetValid),
        ({"iat": NOW - 86400}, LifetimeTooLong),
        ({"iss": f"{ISSUER}/"}, WrongIssuer),
        ({"iss": "https://other.example"}, WrongIssuer),
        ({"aud": None}, MissingClaim),
        ({"aud": []}, WrongAudience),
        ({"aud": f"{ISSUER}/refresh"}, WrongAudience),
        ({"aud": [AUDIENCE, 1]}, InvalidClaim),
        ({"sub": None}, MissingClaim),
        ({"sub": 1}, InvalidClaim),
        ({"sub": ""}, InvalidClaim),
        ({"cnf": {"jkt": "x"}}, InvalidToken),
        ({"iat": None}, MissingClaim),
        ({"client_id": None}, MissingClaim),
        ({"jti": None}, MissingClaim),
        ({"jti": 1}, InvalidClaim),
        ({"sid": None}, MissingClaim),
        ({"sid": 1}, InvalidClaim),
        ({"sid": SID[:-1]}, InvalidClaim),
        ({"sid": SID + "A"}, InvalidClaim),
        ({"sid": SID + "=="}, InvalidClaim),
        ({"sid": b64(bytes(15))}, InvalidClaim),
        ({"sid": "\u00e9" * 22}, InvalidClaim),
        ({"gen": None}, MissingClaim),
        ({"gen": "3"}, InvalidClaim),
        ({"gen": 3.0}, InvalidClaim),
        ({"gen": True}, InvalidClaim),
        ({"gen": -1}, InvalidClaim),
    ],
)
def test_bad_claims_are_refused(changes: dict[str, Any], error: type[InvalidToken]) -> None:
    """C41, C44, C45, C46, C47, C48, C49, C50, C52, C54, C55, C68: a token that is not like those we issue."""
    refused(error, A1.sign(own_claims(**changes)))


def test_the_other_kinds_of_token_are_refused() -> None:
    """C43: a refresh token of either form, and an identity token."""
    session, key = a_session(), usual_keys().refresh_key(NOW)
    refused(InvalidToken, make_refresh_token(session, key, ISSUER, "opaque"))
    refused(InvalidToken, make_refresh_token(session, key, ISSUER, "jwt"))
    refused(WrongType, usual_keys().signing_key(NOW).sign(own_claims(), typ="JWT"))


MALFORMED: tuple[Callable[[str], str], ...] = (
    lambda token: token + "==",
    lambda token: token + "\n",
    lambda token: token + ".x",
    lambda token: token + ".x.y",
    lambda token: token.replace(".", "!", 1),
    lambda token: ".".join([token.split(".")[0], b64(b"[]"), token.split(".")[2]]),
    lambda token: ".".join([token.split(".")[0], b64(b"[" * 100_000), token.split(".")[2]]),
)


@pytest.mark.parametrize("change", MALFORMED)
def test_what_is_no_strict_jwt_is_refused(change: Callable[[str], str]) -> None:
    """C40, C58, C59, C60"""
    refused(MalformedToken, change(A1.sign(own_claims())))


@pytest.mark.parametrize(
    "payload",
    [
        b'{"sub": "a", "sub": "b"}',
        json.dumps(own_claims()).encode("utf-16"),
        b"\xef\xbb\xbf" + json.dumps(own_claims()).encode(),
        b'"text"',
        json.dumps(own_claims()).replace(str(NOW + 600), "NaN").encode(),
        json.dumps(own_claims()).replace(str(NOW + 600), "1e400").encode(),
    ],
)
def test_a_payload_that_two_parsers_could_read_differently_is_refused(payload: bytes) -> None:
    """C46, C56, C57, C60: even with a good signature."""
    refused(MalformedToken, A1.sign(payload))


SAMPLES = {key.alg: key.sign(own_claims()) for key in (A1, A2, A3)}
FLIPPED = Bench().authenticator


@settings(deadline=None)
@given(st.sampled_from(sorted(SAMPLES)), st.data())
def test_a_token_with_any_bit_flipped_is_refused(alg: str, data: st.DataObject) -> None:
    """C63"""
    flipped = bytearray(SAMPLES[alg].encode())
    bit = data.draw(st.integers(0, len(flipped) * 8 - 1))
    flipped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(InvalidToken):
        FLIPPED.authenticate(flipped.decode("latin-1"), NOW)


# --- keys


def test_a_key_that_is_taken_out_of_the_file_takes_its_tokens_with_it() -> None:
    """C64: also those that were verified before. A new key passes without a restart."""
    bench = Bench()
    old, new = A1.sign(own_claims()), make_key("ES256", "new").sign(own_claims())
    prove(bench.authenticator, old)
    with pytest.raises(UnknownKey):
        prove(bench.authenticator, new)
    bench.keys.current = keyring(private_jwk(make_key("ES256", "new")), refresh_jwk())
    assert bench.authenticator.recall(old) is None
    with pytest.raises(UnknownKey):
        prove(bench.authenticator, old)
    assert prove(bench.authenticator, new)


def test_the_next_key_verifies_before_its_first_use() -> None:
    """C150: a gateway whose clock is behind takes the tokens of one whose clock is ahead."""
    bench = Bench()
    bench.keys.current = keyring(private_jwk(A1), private_jwk(make_key("ES256", "next"), NOW + 3600), refresh_jwk())
    assert prove(bench.authenticator, make_key("ES256", "next").sign(own_claims()))


# --- the settings


def test_without_sessions_no_tokens_are_issued() -> None:
    with pytest.raises(BadSetting, match="configure sessions") as caught:
        issued_settings().build("own", resources(None))
    assert caught.value.path == ("type",)


def test_the_cache_is_bounded_by_the_settings() -> None:
    bench = Bench(cache_entries=0)
    token = A1.sign(own_claims())
    prove(bench.authenticator, token)
    assert bench.authenticator.recall(token) is None


def test_a_token_made_by_a_gateway_that_had_not_heard_of_a_cut_off_is_void() -> None:
    """Its `iat` is later than the cut-off; the login that it comes from is not."""
    session = a_session()._replace(created_at=NOW - 100, access_issued_at=NOW)
    principal = prove(Bench().authenticator, access_token(session, usual_keys().signing_key(NOW), ISSUER, (AUDIENCE,)))
    view = RevocationView(clock=lambda: NOW)
    view.add([Revocation(Level.SUBJECT, mark(Level.SUBJECT, ISSUER, "alice"), NOW - 50, NOW + 1000, NOW * 1000)])
    assert view.is_revoked(principal)
