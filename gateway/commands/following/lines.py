"""A decision as one line for people: columns that grow with what comes, so that they stay aligned."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from gateway.commands.following.seen import Decision
from gateway.commands.showing.terminal import Colour, Paint, columns
from gateway.config.mistakes import printable

_TITLES: Final = ("TIME (UTC)", "STATUS", "REASON", "ROUTE", "CLIENT", "SUBJECT", "REQUEST ID", "REQUEST")
_WIDEST: Final = (12, 6, 27, 24, 39, 24, 36, 0)
"""A longer value shifts what stands behind it, and is not cut: the next command may need it."""


class Lines:
    """Makes lines. The columns are as wide as the widest value so far."""

    def __init__(self, paint: Paint) -> None:
        self._paint = paint
        self._widths = [columns(title) for title in _TITLES]
        self._widths[-1] = 0

    def header(self) -> str:
        return self._paint(self._row(_TITLES).rstrip(), "bold")

    def make_room(self, decisions: Sequence[Decision]) -> None:
        """Make the columns wide enough for these."""
        for decision in decisions:
            for column, cell in enumerate(_cells(decision)):
                self._widths[column] = max(self._widths[column], min(columns(cell), _WIDEST[column]))

    def line(self, decision: Decision) -> str:
        self.make_room([decision])
        line = self._paint(self._row(_cells(decision)), *_colours(decision))
        detail = decision.get("detail")
        return f"{line}  {self._paint(printable(str(detail)), 'dim')}" if detail else line

    def _row(self, cells: Sequence[str]) -> str:
        return "  ".join(cell + " " * (self._widths[column] - columns(cell)) for column, cell in enumerate(cells))


def _cells(decision: Decision) -> tuple[str, ...]:
    route, subject, client = (decision.get(name) or "-" for name in ("route", "subject", "client"))
    request = f"{decision['method']} {decision['path']}"
    cells = (decision["status"], decision["reason"], route, client, subject, decision["request_id"], request)
    return (_clock(float(decision["time"])), *(printable(str(cell)) for cell in cells))


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%H:%M:%S.%f")[:12]


def _colours(decision: Decision) -> tuple[Colour, ...]:
    if int(decision["status"]) >= 500:
        return ("yellow",)
    return ("red",) if decision.get("outcome") == "refuse" else ()
