"""One picture of `gateway top`: lines that fit a terminal."""

from itertools import zip_longest
from typing import Final

from gateway.commands.showing.terminal import Paint
from gateway.commands.watching.cells import Row, line
from gateway.commands.watching.summary import summary
from gateway.commands.watching.tables import refusals, routes, upstreams
from gateway.commands.watching.view import View

_SIDE_BY_SIDE: Final = 116
"""Columns from which on tables stand beside each other."""
_LEFT: Final = 50
"""Columns of the table on the left."""


def frame(view: View, width: int, height: int | None, paint: Paint) -> list[str]:
    """Return the lines: none is longer than `width`, and there are no more than `height`."""
    top = [line(row, width, paint) for row in (*summary(view), ())]
    room = None if height is None else max(height - len(top), 0)
    tables = [list(table(view, width)) for table in (refusals, routes, upstreams)]
    if width >= _SIDE_BY_SIDE:
        pairs = zip_longest(tables[0], _one_below_the_other(tables[1:], room), fillvalue=())
        below = [line(a, _LEFT, paint, is_padded=True) + line(b, width - _LEFT, paint) for a, b in pairs]
    else:
        below = [line(row, width, paint) for row in _one_below_the_other(tables, room)]
    return [*top, *below][:height]


def _one_below_the_other(tables: list[list[Row]], room: int | None) -> list[Row]:
    """Return the rows of all tables, a line between them; the last of the longest are left out until all fit."""
    tables = [list(table) for table in tables]
    while room is not None and sum(map(len, tables)) + len(tables) - 1 > room:
        longest = max(tables, key=len)
        if len(longest) <= 2:  # a title and a row
            break
        longest.pop()
    return [row for table in tables for row in (*table, ())][:-1]
