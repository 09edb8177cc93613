"""Rows of plain text: in aligned columns, or one below the other where those do not fit."""

import textwrap
from collections.abc import Iterator, Sequence
from itertools import zip_longest

_GAP = "  "
_NARROWEST = 12


def table(header: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> str:
    """Return the rows under their header, or as records where that takes more than `width`. None means any width.

    Cells are wrapped between words, those of the widest columns first. A record starts with the first cell of its row;
    cells that say nothing ("-") are left out.
    """
    columns = list(zip(header, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    least = [max(len(word) for cell in column for word in cell.split() or ("",)) for column in columns]
    if width is not None:
        room = width - len(_GAP) * (len(columns) - 1)
        if sum(least) > room:
            return "\n\n".join("\n".join(_record(header, row, width)) for row in rows)
        for _ in range(sum(widths) - room):
            wide = [column for column, narrowest in enumerate(least) if widths[column] > narrowest]
            widths[max(wide, key=widths.__getitem__)] -= 1
    return "\n".join(line for row in (header, *rows) for line in _lines(row, widths))


def _lines(row: Sequence[str], widths: list[int]) -> list[str]:
    wrapped = [
        textwrap.wrap(cell, width, break_long_words=False, break_on_hyphens=False)
        for cell, width in zip(row, widths, strict=True)
    ]
    return [
        _GAP.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in zip_longest(*wrapped, fillvalue="")
    ]


def _record(header: Sequence[str], row: Sequence[str], width: int) -> Iterator[str]:
    yield row[0]
    longest = max(map(len, header))
    for title, cell in zip(header[1:], row[1:], strict=True):
        if cell != "-":
            label = f"{_GAP}{title.lower():{longest}}{_GAP}"
            room = max(width - len(label), _NARROWEST)
            yield from textwrap.wrap(cell, room + len(label), initial_indent=label, subsequent_indent=" " * len(label))
