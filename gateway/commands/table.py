"""Aligned columns of plain text."""

import textwrap
from collections.abc import Sequence
from itertools import zip_longest

_GAP = "  "
_NARROWEST = 12


def table(header: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> str:
    """Return the rows under their header. Cells are wrapped, those of the widest columns first, to fit into `width`.

    No column gets narrower than its header or 12 characters, so many may still exceed the width. None means any width.
    """
    cells = [header, *rows]
    widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]
    excess = 0 if width is None else sum(widths) + len(_GAP) * (len(widths) - 1) - width
    for _ in range(excess):
        wide = [column for column, title in enumerate(header) if widths[column] > max(_NARROWEST, len(title))]
        if wide:
            widths[max(wide, key=widths.__getitem__)] -= 1
    return "\n".join(line for row in cells for line in _lines(row, widths))


def _lines(row: Sequence[str], widths: list[int]) -> list[str]:
    wrapped = [textwrap.wrap(cell, width) for cell, width in zip(row, widths, strict=True)]
    return [
        _GAP.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in zip_longest(*wrapped, fillvalue="")
    ]
