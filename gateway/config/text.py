"""Settings that are written as text and read into values."""

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def from_text(parse: Callable[[str], T]) -> Callable[[object], T]:
    """Return a validator for settings that are written as text and nothing else."""

    def validate(value: object) -> T:
        if not isinstance(value, str):
            advice = "" if isinstance(value, list | dict) else "; put it in quotes"
            raise ValueError(f"must be text{advice}")  # noqa: TRY004 - pydantic reports ValueError
        return parse(value)

    return validate
