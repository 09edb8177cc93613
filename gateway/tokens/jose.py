"""Strict reading of a JWS in compact form (RFC 7515 §7.1), without cryptography.

Nothing here is proven. `jku`, `x5u`, `jwk` and `x5c` are never looked at: a token does not choose its keys
(RFC 8725 §3.10).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from gateway.model.errors import MalformedToken, UnsupportedHeader
from gateway.tokens import base64url
from gateway.tokens.strict_json import NotStrictJson, read_object

MAX_HEADER = 8192
"""Characters of an encoded header; honest ones have about 100."""

_NO_HEADERS: Mapping[bytes, dict[str, Any]] = MappingProxyType({})


class Jws(NamedTuple):
    """A token taken apart. `signature` is over `signing_input`; `header` and `payload` are strict JSON objects."""

    header: dict[str, Any]
    payload: dict[str, Any]
    signing_input: bytes
    signature: bytes
    encoded_header: bytes

    @property
    def alg(self) -> str:
        alg: str = self.header["alg"]
        return alg

    @property
    def kid(self) -> str | None:
        return self.header.get("kid")


def read_jws(token: str, headers: Mapping[bytes, dict[str, Any]] = _NO_HEADERS) -> Jws:
    """Take a token apart. Raises MalformedToken; UnsupportedHeader for `crit`, as no extension is known here.

    `headers` are those read before, by their encoded form: the tokens of one issuer share very few.
    """
    signing_input, header_segment, payload_segment, signature_segment = _split(token)
    header = headers.get(header_segment)
    if header is None:
        header = _header(header_segment)
    payload = _object(payload_segment, "payload")
    return Jws(header, payload, signing_input, _decode(signature_segment, "signature"), header_segment)


def peek_issuer(token: str) -> str | None:
    """Return the unproven `iss` of a token, or None if none can be read. Never raises."""
    try:
        issuer = _object(_split(token)[2], "payload").get("iss")
    except MalformedToken:
        return None
    return issuer if type(issuer) is str else None


def _header(segment: bytes) -> dict[str, Any]:
    if len(segment) > MAX_HEADER:
        raise MalformedToken(f"the header has more than {MAX_HEADER} characters")
    header = _object(segment, "header")
    if "crit" in header:
        raise UnsupportedHeader("the header has crit")
    if type(header.get("alg")) is not str:
        raise MalformedToken("the header has no alg, or it is not a string")
    if type(header.get("kid", "")) is not str:
        raise MalformedToken("the kid is not a string")
    return header


def _split(token: str) -> tuple[bytes, bytes, bytes, bytes]:
    """Return the signing input, and the encoded header, payload and signature."""
    if not token.isascii():
        raise MalformedToken("a character outside the base64url alphabet")
    raw = token.encode("ascii")
    if raw.translate(None, base64url.ALPHABET) != b"..":
        raise MalformedToken("not three segments of base64url characters")
    header, payload, signature = raw.split(b".")
    return raw[: -1 - len(signature)], header, payload, signature


def _object(segment: bytes, part: str) -> dict[str, Any]:
    try:
        return read_object(_decode(segment, part))
    except NotStrictJson as error:
        raise MalformedToken(f"the {part} is not strict JSON: {error}") from error


def _decode(segment: bytes, part: str) -> bytes:
    if not segment:
        raise MalformedToken(f"the {part} is empty")
    try:
        return base64url.decode_checked(segment)
    except ValueError as error:
        raise MalformedToken(f"the {part} is {error}") from error
