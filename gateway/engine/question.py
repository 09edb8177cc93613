"""A request that nobody sent: somebody asks what would become of it."""

import re
from dataclasses import dataclass
from ipaddress import ip_address

from gateway.model.request import Header, InboundRequest, Peer

_URL = re.compile(r"(https?)://([^/?#]*)([^#]*)(?:#.*)?", re.IGNORECASE | re.DOTALL)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[^\r\n\0]*")
_DOTTED = re.compile(r"[A-Za-z0-9_.-]+")
"""What may hold a JWT. It always matches where it begins, so that the work is linear in the text."""
_SHORTEST_HEADER = len("eyJ") + 8
_SHORTEST_SECRET = 8
"""Characters. Anything shorter is no secret, and may be a part of an ordinary word."""


@dataclass(frozen=True, slots=True)
class Question:
    """The request to explain, at a time in Unix seconds. `offline`: nothing may be fetched."""

    method: str
    target: bytes
    headers: list[Header]
    peer: str
    secure: bool
    at: float
    offline: bool = False

    def without_secrets(self, text: str) -> str:
        """Return text about this request without its credentials, and without anything that looks like a token."""
        for secret in self._secrets():
            text = text.replace(secret, "<hidden>")
        return _DOTTED.sub(_without_jwts, text)

    def _secrets(self) -> list[str]:
        """Return what must never be shown, the longest first."""
        request = InboundRequest(self.method, self.target, self.headers, Peer("unix"))
        values = [value.partition(b" ")[2] for value in request.all(b"authorization")]
        values += [value for _, value in request.cookies]
        shown = (value.decode("utf-8", "replace") for value in values if len(value) >= _SHORTEST_SECRET)
        return sorted(shown, key=len, reverse=True)


def _without_jwts(match: re.Match[str]) -> str:
    """Return words with dots between, but for each three of which the first is, or ends in, the header of a JWT."""
    parts, shown, number = match[0].split("."), [], 0
    while number < len(parts):
        begin = parts[number].find("eyJ")
        has_header = 0 <= begin <= len(parts[number]) - _SHORTEST_HEADER
        if has_header and number + 2 < len(parts) and parts[number + 1]:
            shown.append(f"{parts[number][:begin]}<hidden>")
            number += 3
        else:
            shown.append(parts[number])
            number += 1
    return ".".join(shown)


def asked(
    method: str,
    url: tuple[str, str, str],
    headers: list[Header],
    token: str | None,
    peer: str,
    at: float,
    *,
    offline: bool = False,
) -> Question:
    """Return the question for a request to such a URL, with these headers, `Host` and the token."""
    scheme, authority, target = url
    all_headers = list(headers)
    if not any(name.lower() == b"host" for name, _ in all_headers):
        all_headers.insert(0, (b"Host", as_bytes(authority)))
    if token is not None:
        all_headers.append((b"Authorization", b"Bearer " + as_bytes(token.strip())))
    return Question(method, as_bytes(target), all_headers, peer, scheme == "https", at, offline)


def as_bytes(text: str) -> bytes:
    """Return what somebody typed as the bytes that it was typed as."""
    return text.encode("utf-8", "surrogateescape")


def url_parts(text: str) -> tuple[str, str, str]:
    """Return scheme, authority and request-target, as they are: nothing is normalised. A fragment is never sent.

    Raises ValueError.
    """
    if not (match := _URL.fullmatch(text)):
        raise ValueError("must begin with https:// or http://")
    target = match[3]
    return match[1].lower(), match[2], target if target.startswith("/") else f"/{target}"


def header(name: str, value: str) -> Header:
    """Return a header. Raises ValueError, never with the value in its message: that may be a token."""
    if not (_HEADER_NAME.fullmatch(name) and _HEADER_VALUE.fullmatch(value)):
        raise ValueError("must be 'Name: value', on one line")
    encoded = name.encode(), as_bytes(value.strip(" \t"))
    if encoded[0].lower() == b"content-length" and not re.fullmatch(rb"[0-9]{1,18}", encoded[1]):
        raise ValueError("Content-Length must be a number")
    if encoded[0].lower() == b"transfer-encoding" and encoded[1].lower() != b"chunked":
        raise ValueError("Transfer-Encoding can only be chunked")
    return encoded


def peer_address(text: str) -> str:
    """Return the address of who connects, or `unix`. Raises ValueError."""
    try:
        return text if text == "unix" else str(ip_address(text))
    except ValueError as error:
        raise ValueError("must be an IP address, or unix") from error
