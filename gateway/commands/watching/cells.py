"""Lines of pieces with colours, and how they come into a terminal's width."""

from collections.abc import Sequence

from gateway.commands.showing.terminal import Colour, Paint, columns, fitted

Cell = tuple[str, tuple[Colour, ...]]
Row = Sequence[Cell]


def plain(text: str) -> Cell:
    return text, ()


def bold(text: str) -> Cell:
    return text, ("bold",)


def alarming(text: str, is_bad: bool) -> Cell:
    return text, ("red",) if is_bad else ()


def label(text: str) -> Cell:
    return f"{text:12}", ("dim",)


def line(row: Row, width: int, paint: Paint, *, is_padded: bool = False) -> str:
    """Return a row as text, cut at the width."""
    shown, left = "", width
    for text, colours in row:
        part = text if columns(text) <= left else fitted(text, left)
        shown += paint(part, *colours)
        left -= columns(part)
        if not left:
            break
    return shown + " " * left if is_padded else shown
