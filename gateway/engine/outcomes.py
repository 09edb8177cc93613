"""What can become of an exchange: what is presented, and each possible outcome, as values."""

from dataclasses import dataclass
from typing import assert_never

from gateway.model import errors
from gateway.model.session import EndReason, Session


@dataclass(frozen=True, slots=True)
class PresentedAccess:
    """An access token that came beside a refresh token, expired or not. `sid` is empty if it is not genuine."""

    sid: str
    generation: int


@dataclass(frozen=True, slots=True)
class Presented:
    """A genuine refresh token, and what came with it. The key ids are those that a new pair shall be made with.

    `client_id` is None for a client that did not say who it is, and may not stay silent.
    """

    generation: int
    client_id: str | None
    refresh_kid: int
    signing_kid: str
    access: PresentedAccess | None = None
    scope: str | None = None


@dataclass(frozen=True, slots=True)
class Rotated:
    """A new pair. `healed` is how many rotations the store had lost."""

    session: Session
    healed: int = 0


@dataclass(frozen=True, slots=True)
class Repeated:
    """The same pair again, `age_ms` after it was made. `is_recovery`: beyond the concurrency window.

    `is_changed`: its access token had run out, so the record has a new issue time and must be committed.
    """

    session: Session
    age_ms: int
    is_recovery: bool
    is_changed: bool


@dataclass(frozen=True, slots=True)
class Reused:
    """Theft: `session` has ended, and says why. `distance` is how many rotations ago the refresh token was replaced."""

    session: Session
    distance: int


@dataclass(frozen=True, slots=True)
class StillValid:
    """Refused: the access token is still good. `retry_after` is in seconds."""

    retry_after: int


@dataclass(frozen=True, slots=True)
class Expired:
    """The session reached a limit: `idle` or `absolute`."""

    limit: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The session was over before."""

    reason: EndReason


@dataclass(frozen=True, slots=True)
class OtherClient:
    """The refresh token belongs to another client."""


@dataclass(frozen=True, slots=True)
class AccessMissing:
    """No access token came, and one must."""


@dataclass(frozen=True, slots=True)
class AccessMismatch:
    """The access token is not genuine, not of this session, or newer than the refresh token."""


@dataclass(frozen=True, slots=True)
class ScopeExceeded:
    """More scope was asked for than was granted."""


@dataclass(frozen=True, slots=True)
class NeverIssued:
    """A generation so far ahead of the record that no failover explains it."""


Refused = StillValid | Expired | Ended | OtherClient | AccessMissing | AccessMismatch | ScopeExceeded | NeverIssued
"""Nothing changes."""

Outcome = Rotated | Repeated | Reused | Refused


def refusal_of(outcome: Refused, session: Session) -> errors.Refusal:  # noqa: C901 - one case for each
    """Return what to raise for an outcome that changes nothing. `session` is the record."""
    match outcome:
        case StillValid(retry_after=retry_after):
            return errors.StillValid(f"good for {retry_after} s more", retry_after=retry_after)
        case Expired(limit=limit):
            return errors.ExpiredSession(f"session {session.sid} reached its {limit} limit")
        case Ended(reason=reason):
            return errors.EndedSession(f"session {session.sid} ended before: {reason}")
        case OtherClient():
            return errors.WrongClient(f"session {session.sid} is of client {session.client_id!r}")
        case AccessMissing():
            return errors.AccessTokenMissing("exchange.access_token is not none")
        case AccessMismatch():
            return errors.PairMismatch("the access token beside it is not genuine, of another session, or newer")
        case ScopeExceeded():
            return errors.InvalidScope(f"granted: {session.scope!r}")
        case NeverIssued():
            return errors.UnknownRefreshToken("a generation far ahead of the record")
        case _:
            assert_never(outcome)
