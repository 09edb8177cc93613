"""A token is accepted if an independent reading of the RFCs accepts it, with the same claims; PyJWT then does too.

The first byte says what the rest is: a token as it is; or header and payload, parted by a zero byte, to be signed with
a good key; so that the fuzzer gets beyond the signature.
"""

import base64
import hmac
import json
import re
from typing import Any

import jwt as pyjwt

from gateway.model.decision import Pending
from gateway.model.errors import InvalidToken
from gateway.tokens.jose import MAX_HEADER, peek_issuer, read_jws
from gateway.tokens.key_documents import KeyRules, key_from_secret
from gateway.tokens.keys import KeySet
from gateway.tokens.verify import Expectations, verify_jwt
from tests.fuzz.targets.strict_json import reference as strict_object

NOW = 1_800_000_000
ISSUER, AUDIENCE = "https://gw.example", "https://api.example"
SECRET = b"a secret of more than 32 bytes, for HS256"
KEYS = KeySet([key_from_secret(SECRET, KeyRules(symmetric=True), "k1")])
EXPECT = Expectations(ISSUER, frozenset({AUDIENCE}), frozenset({"HS256"}), max_lifetime=3600)


def check(data: bytes) -> None:
    token = _token(data)
    expected = reference(token)
    try:
        verified = verify_jwt(read_jws(token), KEYS, EXPECT, NOW)
    except InvalidToken as refusal:
        assert expected is None, f"refused: {refusal!r}"
        peek_issuer(token)
        return
    assert not isinstance(verified, Pending)
    assert expected is not None, "accepted"
    assert json.dumps(verified.claims) == json.dumps(expected)
    assert peek_issuer(token) == ISSUER
    claims = pyjwt.decode(
        token,
        SECRET,
        algorithms=["HS256"],
        issuer=ISSUER,
        audience=AUDIENCE,
        options={"require": ["exp", "iat", "sub"], "verify_exp": False, "verify_iat": False, "verify_nbf": False},
    )
    assert json.dumps(claims) == json.dumps(expected)


def _token(data: bytes) -> str:
    if data[:1] == b"t":
        return data[1:].decode("latin-1")
    header, _, payload = data[1:].partition(b"\0")
    if data[:1] == b"p":
        header, payload = b'{"alg":"HS256","typ":"at+jwt"}', data[1:]
    signing_input = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (header, payload))
    return (signing_input + b"." + _signature(signing_input)).decode()


def _signature(signing_input: bytes) -> bytes:
    return base64.urlsafe_b64encode(hmac.digest(SECRET, signing_input, "sha256")).rstrip(b"=")


_SEGMENT = r"[A-Za-z0-9_-]+"


def reference(token: str) -> dict[str, Any] | None:
    """Return the claims of a good token: RFC 7515 §5.2, RFC 7519 §7.2, RFC 9068 §4, in no clever order."""
    if not re.fullmatch(rf"{_SEGMENT}\.{_SEGMENT}\.{_SEGMENT}", token) or len(token.partition(".")[0]) > MAX_HEADER:
        return None
    decoded = [_decoded(segment) for segment in token.split(".")]
    if None in decoded or token.rpartition(".")[2].encode() != _signature(token.rpartition(".")[0].encode()):
        return None
    header, claims = strict_object(decoded[0] or b""), strict_object(decoded[1] or b"")
    if header is None or claims is None or not _is_good_header(header) or not _is_good(claims):
        return None
    return claims


def _decoded(segment: str) -> bytes | None:
    try:
        value = base64.b64decode(segment + "=" * (-len(segment) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return None
    return value if base64.urlsafe_b64encode(value).rstrip(b"=").decode() == segment else None


def _is_good_header(header: dict[str, Any]) -> bool:
    typ, kid = header.get("typ"), header.get("kid", "k1")
    is_typed = isinstance(typ, str) and typ.lower() in ("at+jwt", "application/at+jwt")
    return header.get("alg") == "HS256" and "crit" not in header and is_typed and kid == "k1"


def _is_good(claims: dict[str, Any]) -> bool:
    audience, subject = claims.get("aud"), claims.get("sub")
    audiences = [audience] if isinstance(audience, str) else audience
    if not isinstance(audiences, list) or not all(isinstance(each, str) for each in audiences):
        return False
    times = [claims[name] for name in ("exp", "iat", "nbf") if name in claims]
    if not all(type(each) in (int, float) and 0 <= each < 253402300800 for each in times):
        return False
    return (
        claims.get("iss") == ISSUER
        and AUDIENCE in audiences
        and isinstance(subject, str)
        and subject != ""
        and "cnf" not in claims
        and {"exp", "iat"} <= claims.keys()
        and claims["exp"] > NOW - 5
        and max(claims["iat"], claims.get("nbf", 0)) <= NOW + 5
        and claims["exp"] - claims["iat"] <= 3600
    )
