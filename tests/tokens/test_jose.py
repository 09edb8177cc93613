import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway.model.errors import InvalidToken, MalformedToken, UnsupportedHeader
from gateway.tokens.jose import MAX_HEADER, peek_issuer, read_jws
from tests.minting import ISSUER, access_claims, b64, make_key

KEY = make_key("EdDSA", "k1")
TOKEN = KEY.sign(access_claims())


def test_a_token_is_taken_apart() -> None:
    jws = read_jws(TOKEN)
    assert (jws.alg, jws.kid, jws.payload) == ("EdDSA", "k1", access_claims())
    assert jws.signing_input == TOKEN.rpartition(".")[0].encode()
    assert len(jws.signature) == 64


def test_a_token_may_come_without_kid() -> None:
    assert read_jws(KEY.sign({}, kid=None)).kid is None


def test_a_header_that_is_known_is_not_read_again() -> None:
    first = read_jws(TOKEN)
    assert first.encoded_header == TOKEN.partition(".")[0].encode()
    known = {first.encoded_header: first.header}
    again = read_jws(KEY.sign(access_claims(sub="bob")), known)
    assert again.header is first.header
    assert again.payload == access_claims(sub="bob")
    other = make_key("EdDSA", "k2").sign(access_claims())
    assert read_jws(other, known) == read_jws(other)


@pytest.mark.parametrize("change", [lambda t: t + "==", lambda t: t + "é", lambda t: t + ".x", lambda t: t[:-1] + "."])
def test_a_known_header_makes_no_malformed_token_good(change: Callable[[str], str]) -> None:
    first = read_jws(TOKEN)
    with pytest.raises(MalformedToken):
        read_jws(change(TOKEN), {first.encoded_header: first.header})


HEAD, PAYLOAD, SIGNATURE = TOKEN.split(".")


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "random",
        f"{HEAD}.{PAYLOAD}",
        f"{HEAD}.{PAYLOAD}.",
        f".{PAYLOAD}.{SIGNATURE}",
        f"{HEAD}..{SIGNATURE}",
        f"{TOKEN}.",
        f"{TOKEN}.x",
        f"{TOKEN}.{PAYLOAD}.{SIGNATURE}",
        f"{TOKEN}==",
        f"{HEAD}.{PAYLOAD}==.{SIGNATURE}",
        f"{TOKEN}\n",
        f" {TOKEN}",
        f"{HEAD}.{PAYLOAD[:9]}\n{PAYLOAD[9:]}.{SIGNATURE}",
        f"{HEAD}.{PAYLOAD}.{SIGNATURE[:-1]}*",
        f"{HEAD}.{PAYLOAD}.{SIGNATURE[:-1]}+",
        f"{HEAD}.{PAYLOAD}.{SIGNATURE[:-1]}é",
        f"{HEAD}.{PAYLOAD}.A",
        f"{HEAD}.{PAYLOAD}.AB",
        f"{HEAD}.{PAYLOAD}.\ud800",
    ],
)
def test_anything_but_three_base64url_segments_is_malformed(token: str) -> None:
    """C17, C40 (five segments: a JWE), C58"""
    with pytest.raises(MalformedToken):
        read_jws(token)
    assert peek_issuer(token) in (None, ISSUER)


@pytest.mark.parametrize(
    "part", [b"[1]", b'"x"', b'{"a":1,"a":2}', b"\xef\xbb\xbf{}", b"\xff", b"{", b'{"a":' + b"[" * 100_000]
)
def test_a_header_or_payload_that_is_not_strict_json_is_malformed(part: bytes) -> None:
    """C56, C57, C59, C60"""
    for token in (KEY.seal(part, b"{}"), KEY.seal(b'{"alg":"EdDSA"}', part)):
        with pytest.raises(MalformedToken):
            read_jws(token)
    assert peek_issuer(KEY.seal(b"{}", part)) is None


@pytest.mark.parametrize("crit", [["x"], [], ["b64"], None, "x"])
def test_a_critical_header_is_refused(crit: Any) -> None:
    """C38, C39"""
    token = KEY.seal(json.dumps({"alg": "EdDSA", "kid": "k1", "crit": crit, "b64": False}).encode(), b"{}")
    with pytest.raises(UnsupportedHeader):
        read_jws(token)


@pytest.mark.parametrize("header", [{}, {"alg": None}, {"alg": 1}, {"alg": ["EdDSA"]}])
def test_a_header_without_a_readable_alg_is_malformed(header: dict[str, Any]) -> None:
    with pytest.raises(MalformedToken):
        read_jws(KEY.seal(json.dumps(header).encode(), b"{}"))


@pytest.mark.parametrize("kid", [None, 1, ["k1"], {}])
def test_a_kid_that_is_not_a_string_is_malformed(kid: Any) -> None:
    with pytest.raises(MalformedToken):
        read_jws(KEY.seal(json.dumps({"alg": "EdDSA", "kid": kid}).encode(), b"{}"))


def test_an_oversized_header_is_refused() -> None:
    """C71"""
    with pytest.raises(MalformedToken, match="more than"):
        read_jws(KEY.sign({}, x5c="A" * 65536))
    with pytest.raises(MalformedToken, match="strict JSON"):
        read_jws(KEY.seal(b"[" * (MAX_HEADER // 2), b"{}"))


def test_the_message_of_a_refusal_quotes_nothing_of_the_token() -> None:
    for token in (KEY.seal(b'{"alg":"EdDSA"}', b'{"secret":1,"secret":2}'), "secret", f"{b64(b'secret')}.e.e"):
        with pytest.raises(InvalidToken) as caught:
            read_jws(token)
        assert "secret" not in str(caught.value)


def test_the_issuer_can_be_peeked_at() -> None:
    assert peek_issuer(TOKEN) == ISSUER


@pytest.mark.parametrize("issuer", [1, True, [ISSUER], {"a": 1}, None])
def test_an_issuer_that_is_not_a_string_is_none(issuer: Any) -> None:
    assert peek_issuer(KEY.sign(access_claims(iss=issuer))) is None
