"""A session: all tokens of one login, as one small record.

No token is stored. The refresh token of a session is its `sid`, its generation and a MAC over both and `salt`; the
access token is made from the record alone. So whoever has the record and the keys makes the same pair again, after a
crash, in another process, for a client that lost the answer.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple


class EndReason(StrEnum):
    """Why a session ended before its time. Label in logs and metrics."""

    LOGOUT = "logout"
    LOGOUT_ALL = "logout_all"
    REVOKED = "revoked"
    """By a client, at the revocation endpoint."""
    ADMIN = "admin"
    CREDENTIAL_CHANGE = "credential_change"
    EVICTED = "evicted"
    """By a newer session of the same subject."""
    REUSE = "reuse"
    """A refresh token came again that was replaced before."""
    EARLY_EXCHANGE = "early_exchange"
    """Exchanged while the access token was good, which this configuration takes for theft."""
    PAIR_MISMATCH = "pair_mismatch"
    """The refresh token came with an older access token than its own."""
    RESTORED = "restored"
    """The store had lost that the session was over; a gateway had not."""


THEFT = frozenset({EndReason.REUSE, EndReason.EARLY_EXCHANGE, EndReason.PAIR_MISMATCH})
"""Reasons to raise an alarm."""


@dataclass(frozen=True, slots=True)
class End:
    """When a session ended (milliseconds), and why."""

    reason: EndReason
    at_ms: int


class Session(NamedTuple):
    """One session. Times are of the store's clock: `_at` in Unix seconds, `_ms` in milliseconds.

    A tuple, since every exchange makes several.
    `sid` is 22 characters of base64url, 16 bytes: the shard (2), then 14 random ones.
    `generation` counts the rotations; `rotated_at_ms` is when the present one came about, and anchors both windows.
    `access_issued_at` and `access_lifetime` (seconds) are those of the present generation's access token.
    `acknowledged`: an access token of the present generation was seen in use, so the client has the pair.
    `idle_expires_at` and `absolute_expires_at` are None where there is no such limit.
    `scope` is what was granted; `access_scope` what the present access token has of it.
    `claims` are claims of the access token beside the registered ones. `version` counts the commits; `commit_id`, a
    random number below 2**32, tells two of them apart that have the same number or would write the same.
    """

    sid: str
    subject: str
    client_id: str
    generation: int
    rotated_at_ms: int
    access_issued_at: int
    access_lifetime: int
    created_at: int
    last_used_at: int
    idle_expires_at: int | None
    absolute_expires_at: int | None
    scope: str
    access_scope: str
    salt: bytes
    refresh_kid: int
    signing_kid: str
    acknowledged: bool = False
    claims: Mapping[str, Any] = MappingProxyType({})
    device: str = ""
    """What the client calls itself: a label, for people."""
    address: str = ""
    """Where it logged in from: the address without its last part."""
    ended: End | None = None
    version: int = 0
    commit_id: int = 0

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self._asdict().items() if name != "salt")
        return f"Session({shown})"

    @property
    def edition(self) -> int:
        """Which commit wrote this record. After a failover another one may have taken a lost one's number."""
        return self.version << 32 | self.commit_id

    @property
    def expires_at(self) -> int:
        """When the refresh token runs out. There is always one limit."""
        idle, absolute = self.idle_expires_at, self.absolute_expires_at
        if absolute is None:
            assert idle is not None
            return idle
        return absolute if idle is None else min(idle, absolute)

    @property
    def access_expires_at(self) -> int:
        """The `exp` of the access token: never after the session's own end."""
        end = self.access_issued_at + self.access_lifetime
        return end if self.absolute_expires_at is None else min(end, self.absolute_expires_at)


_SID = re.compile(r"[A-Za-z0-9_-]{21}[AQgw]")
"""The last character carries two bits: with others the same bytes would have several spellings."""


def is_sid(text: str) -> bool:
    """Say whether this has the form of a session id."""
    return _SID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Issued:
    """What a client gets. `expires_in` is in seconds; `refresh_token` is None where only the access token is new."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    expires_in: int
    scope: str
    session: Session


@dataclass(frozen=True, slots=True)
class Opened:
    """Event: somebody logged in."""

    session: Session


class Exchanged(NamedTuple):
    """Event: an exchange was tried. `result` is `rotated`, `repeated`, `recovered`, or the reason of a refusal.

    `age_ms` is the age of what was repeated, `healed` how many rotations the store had lost.
    """

    result: str
    client_id: str
    session: Session | None = None
    age_ms: int | None = None
    healed: int = 0
    address: str = ""


@dataclass(frozen=True, slots=True)
class SessionOver:
    """Event: a session ended; `session.ended` says why. `distance` is that of a reused refresh token."""

    session: Session
    reason: EndReason
    distance: int | None = None
    address: str = ""


@dataclass(frozen=True, slots=True)
class CutOff:
    """Event: an operator made void all tokens of a level up to now."""

    level: str
    issuer: str
    name: str


@dataclass(frozen=True, slots=True)
class TokenRevoked:
    """Event: a client made one access token void. `token_id` is its `jti`."""

    token_id: str
    subject: str
    client_id: str


SessionEvent = Opened | Exchanged | SessionOver | CutOff | TokenRevoked
