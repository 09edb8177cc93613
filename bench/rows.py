"""What is measured: rows, each of cases that are measured by turns."""

from dataclasses import dataclass
from typing import Final

from bench import contenders as who
from bench import works
from bench.contenders import Contender
from bench.works import Work


@dataclass(frozen=True, slots=True)
class Case:
    """A contender at a work."""

    contender: Contender
    work: Work = works.BASIC


@dataclass(frozen=True, slots=True)
class Row:
    """Cases that are compared: the first one with each of the others, which have a name in the table.

    They are measured by turns; or `at_once`, on the same core, where a difference of a few percent matters: then they
    find the very same conditions.
    """

    key: str
    title: str
    case: Case
    others: tuple[tuple[str, Case], ...]
    turns: int = 1
    """How many times as many rounds it gets as a usual row."""
    at_once: bool = False

    @property
    def cases(self) -> tuple[Case, ...]:
        """All cases, each once."""
        return (self.case, *(case for _, case in self.others))

    @property
    def contenders(self) -> tuple[Contender, ...]:
        """Who takes part, each once."""
        return tuple(dict.fromkeys(case.contender for case in self.cases))


def _beside_nginx(key: str, title: str, work: Work) -> Row:
    basic, nginx = ("a basic request", Case(who.GATEWAY)), ("nginx", Case(who.NGINX, work))
    return Row(key, title, Case(who.GATEWAY, work), (basic, nginx))


def _alone(key: str, title: str, work: Work) -> Row:
    return Row(key, title, Case(who.GATEWAY, work), (("a basic request", Case(who.GATEWAY)),))


CONTENDERS: Final = "contenders"

ROWS: Final = (
    _beside_nginx("16k", "answers of 16 KiB", works.ANSWERS_16K),
    _beside_nginx("1m", "answers of 1 MiB", works.ANSWERS_1M),
    _beside_nginx("uploads", "uploads of 64 KiB", works.UPLOADS),
    _beside_nginx("tls", "TLS on the listener", works.TLS),
    _alone("refused", "expired tokens (401)", works.REFUSED),
    _alone("new", "first-seen tokens", works.NEW_TOKENS),
    _beside_nginx("websocket", "WebSocket messages, there and back", works.MESSAGES),
    Row(
        "routes",
        "10,000 routes",
        Case(who.MANY_ROUTES, works.MANY_ROUTES),
        (("10 routes", Case(who.FEW_ROUTES, works.FEW_ROUTES)),),
        turns=2,
        at_once=True,
    ),
    Row(
        "revocations",
        "1 million revocations",
        Case(who.MILLION_REVOKED),
        (("none", Case(who.NONE_REVOKED)),),
        turns=2,
        at_once=True,
    ),
    Row(
        "console",
        "the console open, its ring full",
        Case(who.WATCHED),
        (("no console", Case(who.UNWATCHED)),),
        turns=2,
        at_once=True,
    ),
    Row(
        "console-refused",
        "the same, expired tokens (401)",
        Case(who.WATCHED, works.REFUSED),
        (("no console", Case(who.UNWATCHED, works.REFUSED)),),
        turns=2,
        at_once=True,
    ),
    Row(
        "workers-on-one-core",
        "two workers on one core",
        Case(who.TWO_WORKERS_ON_ONE_CORE),
        (("one worker there", Case(who.GATEWAY)),),
        turns=2,
        at_once=True,
    ),
    Row(
        "workers",
        "two workers, as many connections each",
        Case(who.TWO_WORKERS, works.TWICE_AS_MANY),
        (("one worker", Case(who.ONE_WORKER)), ("two gateways", Case(who.TWINS, works.TWICE_AS_MANY))),
        turns=4,
    ),
    Row(
        "workers-half",
        "two workers, half as many each",
        Case(who.TWO_WORKERS),
        (("one worker", Case(who.ONE_WORKER)), ("two gateways", Case(who.TWINS))),
        turns=2,
    ),
)
"""Beside the table of contenders."""


def contenders_row(only: tuple[Contender, ...]) -> Row:
    """Return the row of all contenders: the first one is compared with each of the others."""
    first, *others = only
    return Row(
        CONTENDERS,
        "contenders",
        Case(first),
        tuple((contender.name, Case(contender)) for contender in others),
        turns=2,
    )
