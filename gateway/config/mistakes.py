"""Mistakes in a configuration file, as people see them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

SettingPath = tuple[str | int, ...]
"""Where a setting is: `("routes", 2, "upstream")`."""


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """One mistake. `line` counts from 1; 0 means the file as a whole. `path` is as `shown_path` writes it."""

    file: str
    line: int
    path: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return printable(": ".join(part for part in (place, self.path, self.message) if part))


class ConfigMistakes(Exception):
    """A configuration that cannot be used, with everything that is wrong with it, in the order of the file."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(sorted(set(mistakes)))
        super().__init__("\n".join(str(mistake) for mistake in self.mistakes))


_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")


def shown_path(path: SettingPath) -> str:
    """Return the path as text: `routes[2].upstream`, `upstreams["orders.v2"].targets[0]`."""
    return "".join(_shown_part(part) for part in path).removeprefix(".")


def _shown_part(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    return f".{part}" if _PLAIN_KEY.fullmatch(part) else f'["{shown_text(part)}"]'


def shown_text(text: str) -> str:
    """Return text for one line of a message: control characters and lone surrogates escaped, cut at 60 characters."""
    return printable(text[:60]) if len(text) <= 60 else f"{printable(text[:60])}…"


def printable(text: str) -> str:
    """Return text that does nothing to a terminal: control characters and lone surrogates escaped."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean "orders"?` where a known word is close, else nothing."""
    close = get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return f'; did you mean "{close[0]}"?' if close else ""
