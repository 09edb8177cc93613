import hmac
import json
import re
from base64 import urlsafe_b64decode
from hashlib import sha256
from typing import Any

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model.errors import InvalidToken, UnknownRefreshToken
from gateway.tokens.issue import own_expectations
from gateway.tokens.jose import read_jws
from gateway.tokens.own_keys import Keyring, RefreshKey
from gateway.tokens.refresh_token import (
    Format,
    RefreshToken,
    looks_like_refresh_token,
    make_refresh_token,
    read_refresh_token,
)
from gateway.tokens.verify import verify_jwt
from tests.minting import AUDIENCE, ISSUER, NOW, SigningKey, access_claims, b64, make_key
from tests.own_tokens import SID, a_session, keyring, own_keys, private_jwk, refresh_jwk, usual_keys

FORMATS: tuple[Format, ...] = ("opaque", "jwt")
KEYS = usual_keys()
KEY = KEYS.refresh_key(NOW)
SALT = a_session().salt


def made(form: Format, key: RefreshKey = KEY, **changes: Any) -> str:
    return make_refresh_token(a_session(**changes), key, ISSUER, form)


TOKENS = {form: made(form) for form in FORMATS}


def read(token: str, keys: Keyring = KEYS) -> RefreshToken:
    return read_refresh_token(token, keys, ISSUER)


def refused(token: str, reason: str, keys: Keyring = KEYS) -> None:
    with pytest.raises(UnknownRefreshToken, match=reason) as caught:
        read(token, keys)
    assert token[10:] not in str(caught.value) or len(token) < 12


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("generation", [0, 1, 3, 2**32 - 1])
@pytest.mark.parametrize("sid", [SID, b64(bytes(16)), b64(b"\xff" * 16)])
def test_a_refresh_token_tells_its_session_and_generation(form: Format, generation: int, sid: str) -> None:
    token = read(made(form, sid=sid, generation=generation))
    assert (token.sid, token.generation, token.key.kid) == (sid, generation, 0)
    assert token.is_genuine(SALT)


def test_an_opaque_token_is_60_characters_that_need_no_escaping() -> None:
    assert re.fullmatch(r"rt1\.[A-Za-z0-9_-]{56}", TOKENS["opaque"])


def test_a_jwt_tells_the_client_when_it_runs_out() -> None:
    jws = read_jws(TOKENS["jwt"])
    assert jws.header == {"typ": "rt+jwt", "kid": "0", "alg": "HS256"}
    assert len(jws.payload.pop("jti")) == 22
    assert jws.payload == {
        "iss": ISSUER,
        "sub": "alice",
        "aud": f"{ISSUER}/refresh",
        "exp": NOW + 7 * 86400,
        "iat": NOW,
        "sid": SID,
        "gen": 3,
    }


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_record_and_key_give_the_same_token(form: Format) -> None:
    """C74"""
    assert made(form, version=9, acknowledged=True, access_issued_at=NOW + 5) == TOKENS[form]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("changes", [{"sid": SID[:-2] + "Ag"}, {"generation": 4}, {"salt": b"saltsal2"}])
def test_another_record_gives_another_token(form: Format, changes: dict[str, Any]) -> None:
    assert made(form, **changes) != TOKENS[form]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("salt", [b"", b"saltsal2", b"saltsalt\0", b"altsalts"])
def test_a_token_is_not_genuine_for_a_record_with_another_salt(form: Format, salt: bytes) -> None:
    """The key alone makes no token: whoever has it still lacks the salt."""
    assert not read(TOKENS[form]).is_genuine(salt)


@pytest.mark.parametrize("form", FORMATS)
def test_a_token_made_without_the_key_is_refused_before_the_record_is_asked_for(form: Format) -> None:
    """A copy of the store, salt included, makes no token."""
    forger = RefreshKey(0, b"f" * 32, NOW)
    refused(made(form, forger), "does not fit")


@pytest.mark.parametrize("form", FORMATS)
def test_a_token_of_an_unknown_key_is_refused(form: Format) -> None:
    refused(made(form, RefreshKey(7, KEY.secret, NOW)), "no refresh key has the kid 7")


@pytest.mark.parametrize("form", FORMATS)
def test_tokens_of_old_and_coming_keys_are_read(form: Format) -> None:
    ring = keyring(
        private_jwk(make_key("EdDSA", "a1")), refresh_jwk(5), refresh_jwk(255, NOW), refresh_jwk(0, NOW + 100)
    )
    for key in ring.refresh:
        token = read(made(form, key), ring)
        assert token.key.kid == key.kid
        assert token.is_genuine(SALT)


# --- forgery


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(FORMATS), st.data())
def test_a_token_with_any_bit_flipped_is_refused(form: Format, data: st.DataObject) -> None:
    """C63"""
    flipped = bytearray(TOKENS[form].encode())
    bit = data.draw(st.integers(0, len(flipped) * 8 - 1))
    flipped[bit // 8] ^= 1 << bit % 8
    try:
        token = read(flipped.decode("latin-1"))
    except UnknownRefreshToken:
        return
    assert not token.is_genuine(SALT)


def test_every_bit_of_an_opaque_token_counts() -> None:
    """C63: in its bytes. Only the MAC, which takes the salt, is not refused at once."""
    content = urlsafe_b64decode(TOKENS["opaque"][4:])
    for bit in range(len(content) * 8):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        token = "rt1." + b64(bytes(flipped))
        if bit // 8 < 26:
            refused(token, "does not fit|is not known|no refresh key")
        else:
            assert not read(token).is_genuine(SALT)


@settings(deadline=None)
@given(st.text() | st.text(alphabet="rt1.eyJ-_=A", max_size=80) | st.from_regex(r"rt1\.[\w-]{50,60}"))
def test_junk_is_refused_and_no_bug(token: str) -> None:
    with pytest.raises(UnknownRefreshToken):
        read(token)
    looks_like_refresh_token(token)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("change", ["{}=", "{}==", " {}", "{}\n", "{}A", "{}.", "Bearer {}"])
def test_a_token_has_one_spelling(form: Format, change: str) -> None:
    refused(change.format(TOKENS[form]), "not of the form|neither opaque nor a JWT|the signature does not fit")


def test_the_other_alphabet_is_refused() -> None:
    number = next(number for number in range(999) if "-" in made("opaque", generation=number))
    refused(made("opaque", generation=number).replace("-", "+"), "a character outside the base64url alphabet")


def test_the_last_bits_of_a_jwt_signature_are_fixed() -> None:
    token = TOKENS["jwt"]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    refused(token[:-1] + alphabet[alphabet.index(token[-1]) + 1], "not the canonical base64url form")


def jwt_key() -> bytes:
    return hmac.digest(KEY.secret, b"gateway refresh token jwt", sha256)


def resigned(header: dict[str, Any] | None = None, **changes: Any) -> str:
    """Return the JWT as one who has the key would write it, with other members."""
    payload = {**read_jws(TOKENS["jwt"]).payload, **changes}
    signer = SigningKey("HS256", "0", jwt_key())
    return signer.sign(payload, **{"typ": "rt+jwt", **(header or {})})


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"typ": "at+jwt"}, "not of the type"),
        ({"typ": "JWT"}, "not of the type"),
        ({"typ": None}, "not of the type"),
        ({"typ": ["rt+jwt"]}, "not of the type"),
        ({"alg": "none"}, "not with the algorithm"),
        ({"alg": "HS512"}, "not with the algorithm"),
        ({"alg": "RS256"}, "not with the algorithm"),
        ({"kid": None}, "the kid is not that of a refresh key"),
        ({"kid": "a1"}, "the kid is not that of a refresh key"),
        ({"kid": "00"}, "the kid is not that of a refresh key"),
        ({"kid": "-0"}, "the kid is not that of a refresh key"),
        ({"kid": "9" * 1000}, "the kid is not that of a refresh key"),
        ({"kid": "\u0660"}, "the kid is not that of a refresh key"),
        ({"kid": "\u00b2"}, "the kid is not that of a refresh key"),
        ({"kid": "999"}, "no refresh key has the kid 999"),
        ({"kid": 0}, "the kid is not a string"),
        ({"crit": ["x"]}, "the header has crit"),
    ],
)
def test_a_jwt_with_another_header_is_refused(header: dict[str, Any], reason: str) -> None:
    """C32, C36, C38, C43"""
    assert read(resigned()).is_genuine(SALT)
    refused(resigned(header), reason)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": f"{ISSUER}/"}, "another issuer"),
        ({"iss": None}, "another issuer"),
        ({"aud": AUDIENCE}, "another issuer"),
        ({"aud": [f"{ISSUER}/refresh"]}, "another issuer"),
        ({"sid": None}, "sid or jti is not of its length"),
        ({"sid": SID[:-1]}, "sid or jti is not of its length"),
        ({"sid": b64(bytes(17))}, "sid or jti is not of its length"),
        ({"sid": SID + "\u00e9"}, "sid or jti is not of its length"),
        ({"jti": 1}, "sid or jti is not of its length"),
        ({"jti": ""}, "sid or jti is not of its length"),
        ({"gen": True}, "gen is not a generation"),
        ({"gen": "3"}, "gen is not a generation"),
        ({"gen": 3.0}, "gen is not a generation"),
        ({"gen": -1}, "gen is not a generation"),
        ({"gen": 2**32}, "gen is not a generation"),
    ],
)
def test_a_jwt_that_says_something_else_is_refused(changes: dict[str, Any], reason: str) -> None:
    refused(resigned(**changes), reason)


def test_the_record_judges_the_expiry_of_a_jwt() -> None:
    assert read(resigned(exp=1)).is_genuine(SALT)


def test_a_jwt_of_another_session_is_not_genuine_with_this_mac() -> None:
    assert not read(resigned(gen=4)).is_genuine(SALT)


def test_each_purpose_has_a_key_of_its_own() -> None:
    """RFC 8725 §3.12: the secret itself, as it is in the file, signs nothing."""
    payload = json.dumps(read_jws(TOKENS["jwt"]).payload).encode()
    direct = jwt.api_jws.encode(payload, KEY.secret, algorithm="HS256", headers={"typ": "rt+jwt", "kid": "0"})
    refused(direct, "the signature does not fit")
    content = urlsafe_b64decode(TOKENS["opaque"][4:])
    assert content[22:26] not in (content[26:30], hmac.digest(KEY.secret, content[:22], sha256)[:4])


# --- confusion


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("alg", ["EdDSA", "HS256"])
def test_a_refresh_token_is_no_access_token(form: Format, alg: str) -> None:
    """C43"""
    with pytest.raises(InvalidToken):
        verify_jwt(read_jws(TOKENS[form]), own_keys(alg), own_expectations(ISSUER, [AUDIENCE]), NOW)


def test_a_refresh_token_looks_like_one() -> None:
    access = make_key("EdDSA", "a1").sign(access_claims())
    for form in FORMATS:
        assert looks_like_refresh_token(TOKENS[form])
    assert looks_like_refresh_token(resigned({"typ": "application/RT+jwt"}))
    assert not any(map(looks_like_refresh_token, ("", "rt1", "x", access, access + ".", resigned({"typ": 1}))))


@pytest.mark.parametrize("form", FORMATS)
def test_what_proves_a_token_does_not_show(form: Format) -> None:
    token = read(TOKENS[form])
    assert KEY.secret.decode() not in repr(token)
    assert repr(token.mac) not in repr(token)
