"""What can be shown where the output goes: its width, colours, letters."""

import codecs
import os
import shutil
from dataclasses import dataclass
from typing import Final, Literal, TextIO
from unicodedata import east_asian_width

Colour = Literal["bold", "dim", "red", "green", "yellow"]
_CODES: Final[dict[Colour, str]] = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}


@dataclass(frozen=True, slots=True)
class Paint:
    """Colours text, or leaves it as it is."""

    has_colours: bool = False

    def __call__(self, text: str, *colours: Colour) -> str:
        if not self.has_colours or not colours:
            return text
        return f"\x1b[{';'.join(_CODES[colour] for colour in colours)}m{text}\x1b[0m"


def paint_for(stream: TextIO) -> Paint:
    """Return colours for a terminal whose user has not asked for none (https://no-color.org)."""
    return Paint(stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb")


def width_of(stream: TextIO) -> int | None:
    """Return the columns of a terminal; None for anything else, which takes lines of any length."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


def encoding_of(stream: TextIO) -> str:
    return codecs.lookup(stream.encoding or "ascii").name


def encodable(text: str, stream: TextIO) -> str:
    """Return text that can be printed there: what it has no letter for is escaped."""
    encoding = encoding_of(stream)
    return text.encode(encoding, "backslashreplace").decode(encoding)


def columns(text: str) -> int:
    """Return how many columns a terminal takes for a text: two for a Korean letter."""
    return len(text) if text.isascii() else sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text)


def fitted(text: str, width: int) -> str:
    """Return a text of exactly this many columns: cut, with an ellipsis, or padded."""
    if columns(text) > width:
        text = text[:width]
        while text and columns(text) >= width:
            text = text[:-1]
        text = f"{text}…" if width else ""
    return text + " " * (width - columns(text))
