"""The steps of an explanation, as they are noted on the way."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from gateway.model.errors import Refusal

Section = Literal[
    "request",
    "target",
    "route",
    "preflight",
    "rate_limits",
    "token",
    "authenticators",
    "signature",
    "claims",
    "caller",
    "require",
    "upstream",
]
StepResult = Literal["ok", "no", "note"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was looked at, and what came of it. `authenticator` is who looked, where there may be several."""

    section: Section
    name: str
    result: StepResult
    detail: str
    authenticator: str = ""


class Steps(list[Step]):
    """Steps in the order in which they were taken."""

    def note(self, section: Section, name: str, detail: str, authenticator: str = "") -> None:
        """Add what is only good to know."""
        self.append(Step(section, name, "note", detail, authenticator))

    def attempt(
        self, section: Section, name: str, call: Callable[[], T], shows: Callable[[T], str], authenticator: str = ""
    ) -> T:
        """Take a step, and add what came of it. Raises the refusal it ends with."""
        try:
            value = call()
        except Refusal as refusal:
            self.append(Step(section, name, "no", in_words(refusal), authenticator))
            raise
        self.append(Step(section, name, "ok", shows(value), authenticator))
        return value


def in_words(refusal: Refusal) -> str:
    """Return the exact reason and its details."""
    return f"{refusal.reason}: {refusal}"
