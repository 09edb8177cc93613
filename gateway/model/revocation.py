"""Making tokens void before their time: what a revocation says, and which revocations concern a token.

Every level works the same way. A revocation is a mark and a number: tokens with this mark are void if their ordinal is
below the number. The ordinal of a token is its `iat`, so a cut-off is a time; for `GENERATION` it is the generation,
so older access tokens of a session are void. A whole session or a single token is void whatever its time: FOREVER. Of
several revocations with the same mark the greatest number counts, and of several marks any: the order in which they
arrive, and how often, changes nothing.

Marks are digests, so a store of revocations names nobody. Every level but EVERYTHING is keyed with the issuer: one
issuer cannot revoke what another has issued.
"""

from binascii import a2b_base64
from dataclasses import dataclass
from enum import IntEnum
from hashlib import blake2b, sha256
from typing import Final

FOREVER = 2**32 - 1
"""A number above every time and every generation."""


class Level(IntEnum):
    """What a revocation is about. The numbers are stored: never change them."""

    EVERYTHING = 0
    ISSUER = 1
    CLIENT = 2
    SUBJECT = 3
    SESSION = 4
    TOKEN = 5
    GENERATION = 6


LEVELS: Final = tuple(Level)
"""By number: `Level(number)` takes ten times as long."""


@dataclass(init=False, unsafe_hash=True)  # to make a frozen one takes four times as long, and a start makes a million
class Revocation:
    """Tokens with `mark` and an ordinal below `before` are void. Times are Unix seconds of the store's clock.

    `mark` is 16 bytes. It takes effect at `since_ms` (milliseconds; 0 for at once); after `until` no such token could
    be valid any more, and it may be forgotten. `at_ms` is when it was made.
    """

    level: Final[Level]
    mark: Final[bytes]
    before: Final[int]
    until: Final[int]
    at_ms: Final[int]
    since_ms: Final[int]

    def __init__(self, level: Level, mark: bytes, before: int, until: int, at_ms: int, since_ms: int = 0) -> None:
        self.level = level
        self.mark = mark
        self.before = before
        self.until = until
        self.at_ms = at_ms
        self.since_ms = since_ms


def mark(level: Level, issuer: str, name: str) -> bytes:
    """Return the mark of what `issuer` calls `name` on a level: 16 bytes.

    The name of a token is its `jti`, or `token_name(token)` without one. EVERYTHING and ISSUER take no name.
    """
    issuer, name = ("", "") if level is Level.EVERYTHING else (issuer, "" if level is Level.ISSUER else name)
    return blake2b(f"{level.value}\0{issuer}\0{name}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


class Marker:
    """Makes the marks of one level for one issuer, as `mark` does: what all of them begin with is hashed only once."""

    def __init__(self, level: Level, issuer: str) -> None:
        self._begun = blake2b(f"{level.value}\0{issuer}\0".encode("utf-8", "surrogatepass"), digest_size=16)

    def mark(self, name: str) -> bytes:
        digest = self._begun.copy()
        digest.update(name.encode("utf-8", "surrogatepass"))
        return digest.digest()


def session_mark(sid: str) -> bytes:
    """Return the mark of a session of our own: the bytes of its id, so that a lost end can be restored from it."""
    return a2b_base64(sid.translate(_TO_STANDARD) + "==")


_TO_STANDARD = str.maketrans("-_", "+/")


def generation_mark(sid: str) -> bytes:
    """Return the mark of the access tokens of a session of our own, whose ordinal is their generation."""
    return mark(Level.GENERATION, "", sid)


def token_name(token: str) -> str:
    """Return the name of a token that has no `jti`: its SHA-256, with a prefix that says so."""
    return "sha256:" + sha256(token.encode()).hexdigest()
