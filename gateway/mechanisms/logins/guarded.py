"""A login at which guessing is slowed, and whose results are counted."""

from collections.abc import Callable
from typing import Final

from gateway.mechanisms.logins.base import Attempt, Login, ProvenUser
from gateway.mechanisms.logins.slowing import Slowing
from gateway.model.errors import Declined, Refusal, TooManyAttempts, WrongPassword

RESULTS: Final = ("ok", "wrong_password", "declined", "too_many_attempts", "unavailable")
"""The labels that `record` gets."""


class GuardedLogin:
    """Is a Login. `record` hears the result of every attempt but those whose client went away."""

    def __init__(self, login: Login, slowing: Slowing, record: Callable[[str], None]) -> None:
        self._login = login
        self._slowing = slowing
        self._record = record

    async def prove(self, attempt: Attempt) -> ProvenUser:
        try:
            user = await self._prove(attempt)
        except Refusal as refusal:
            self._record(_label(refusal))
            raise
        self._record("ok")
        return user

    def close(self) -> None:
        self._login.close()

    async def _prove(self, attempt: Attempt) -> ProvenUser:
        ticket = await self._slowing.before(attempt)
        try:
            user = await self._login.prove(attempt)
        except (WrongPassword, Declined):
            raise
        except Exception:
            # Not so when the client hangs up: that is a CancelledError, and stays a failure.
            self._slowing.undecided(ticket)
            raise
        self._slowing.succeeded(ticket)
        return user


def _label(refusal: Refusal) -> str:
    match refusal:
        case WrongPassword():
            return "wrong_password"
        case Declined():
            return "declined"
        case TooManyAttempts():
            return "too_many_attempts"
        case _:
            return "unavailable"
