"""The lower part of `gateway top`: refusals by reason, routes that refuse, upstreams."""

from collections.abc import Iterator

from gateway.commands.showing.terminal import fitted
from gateway.commands.watching.cells import Row, alarming, bold, plain
from gateway.commands.watching.numbers import count, rate
from gateway.commands.watching.view import View
from gateway.config.mistakes import printable

_LEAST, _MOST, _REASON = 12, 20, 28
"""Columns of names of routes and upstreams, and of reasons."""


def refusals(view: View, width: int) -> Iterator[Row]:
    name = min(max(width - 19, _LEAST), _REASON)
    yield (bold(f"{fitted('refused or failed because', name)}{'a second':>9}{'so far':>10}"),)
    reasons = view["refused"]["reasons"]
    for row in reasons:
        numbers = f"{rate(row['per_second']):>9}{count(row['total']):>10}"
        yield (alarming(f"{fitted(printable(row['reason']), name)}{numbers}", row["per_second"] > 0),)
    if not reasons:
        yield (plain("nothing was refused"),)


def routes(view: View, width: int) -> Iterator[Row]:
    name = _name(width)
    yield (bold(f"{'route':{name}}{'a second':>9}{'refused':>9}{'so far':>10}  mostly"),)
    for row in view["routes"]:
        numbers = f"{rate(row['per_second']):>9}{rate(row['refused_per_second']):>9}{count(row['refused_total']):>10}"
        text = f"{fitted(printable(row['id']), name)}{numbers}  {printable(row['mostly'])}"
        yield (alarming(text, row["refused_per_second"] > 0),)
    if not view["routes"]:
        yield (plain("no route refused anything"),)


def upstreams(view: View, width: int) -> Iterator[Row]:
    name = _name(width)
    yield (bold(f"{'upstream':{name}}{'targets':>9}{'busy':>9}{'idle':>10}  circuit"),)
    for row in view["upstreams"]:
        targets = f"{row['usable']}/{row['usable'] + len(row['unusable'])}"
        numbers = f"{targets:>9}{count(row['busy']):>9}{count(row['idle']):>10}"
        lost = f", without {', '.join(map(printable, row['unusable']))}" if row["unusable"] else ""
        text = f"{fitted(printable(row['name']), name)}{numbers}  {row['circuit'] or 'none'}{lost}"
        yield (alarming(text, bool(row["unusable"]) or row["circuit"] in ("open", "half_open")),)
    if not view["upstreams"]:
        yield (plain("there is none"),)


def _name(width: int) -> int:
    return _MOST if width >= 64 else _LEAST
