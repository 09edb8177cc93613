"""What the reasons of decisions mean, and what to do about them: the words of docs/errors.md."""

import json
from functools import cache
from importlib.resources import files
from typing import NamedTuple


class Described(NamedTuple):
    """`advice` is empty where there is nothing to do."""

    meaning: str
    advice: str


def described(reason: str) -> Described:
    """Return what a reason means; empty words for one that is not known here."""
    return _all().get(reason, Described("", ""))


@cache
def _all() -> dict[str, Described]:
    text = (files("gateway.insight") / "reasons.json").read_text("utf-8")
    return {name: Described(**words) for name, words in json.loads(text).items()}
