"""What every login is: somebody's attempt goes in, a proven user comes out."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

MAX_CLAIMS = 4096
"""Bytes of all claims of one user, as JSON: they travel in every token and lie in every record."""

MAX_SUBJECT = 255
"""Characters (OpenID Connect Core §2)."""

MAX_PASSWORD = 1024
"""Bytes. More than anybody types, and little to hash."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What somebody sent to log in, and from where."""

    username: str
    password: str = field(repr=False)
    address: str
    """The client's address, as far as trusted proxies vouch for it."""
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The whole JSON object or form, for a backend that wants more than name and password."""
    device: str = ""
    """What the client calls itself: a label, for people."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Headers of the request by lower-case name, for a backend that wants some of them."""


@dataclass(frozen=True, slots=True)
class ProvenUser:
    """Who it is. `scope` is None where the login says nothing about it."""

    subject: str
    scope: str | None = None
    claims: Mapping[str, Any] = field(default_factory=dict)


class Login(Protocol):
    async def prove(self, attempt: Attempt) -> ProvenUser:
        """Return who it is.

        Raises WrongPassword, TooManyAttempts, Declined, or Unavailable: whoever cannot ask does not know.
        """

    def close(self) -> None:
        """Let go of threads. A login that is closed proves nobody."""


def as_compared(text: str) -> str:
    """Return a name or password in the form in which it is compared: NFC, and otherwise exactly as it is (RFC 8265).

    `é` is the same from every keyboard; `Alice` is not `alice`.
    """
    return unicodedata.normalize("NFC", text)


def as_bytes(text: str) -> bytes:
    """Return what is hashed of a name or password. Never fails, whatever a client sent."""
    return as_compared(text).encode("utf-8", "surrogatepass")
