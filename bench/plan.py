"""What the command line of `python -m bench` asks for."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from bench.contenders import CONTENDERS, Contender
from bench.rows import CONTENDERS as CONTENDERS_ROW
from bench.rows import ROWS

LATENCIES: Final = "latencies"
IDLE: Final = "idle"
EXCHANGE: Final = "exchange"
PARTS: Final = (CONTENDERS_ROW, LATENCIES, *(row.key for row in ROWS), IDLE, EXCHANGE)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured, and of what."""

    seconds: int
    rounds: int
    warm_up: int
    connections: int
    tokens: int
    idle: int
    only: tuple[Contender, ...]
    parts: frozenset[str]
    is_to_write_docs: bool

    @property
    def facts(self) -> dict[str, object]:
        """What belongs to the conditions."""
        names = ("seconds", "rounds", "warm_up", "connections", "tokens")
        return {name: getattr(self, name) for name in names}


def parse(words: Sequence[str]) -> Plan:
    """Read the command line; end with a message if it is wrong."""
    names = {contender.slug.lower(): contender for contender in CONTENDERS}
    parser = argparse.ArgumentParser(prog="python -m bench", description="CPU per request, side by side.")
    parser.add_argument("--seconds", type=_at_least(1), default=1, help="length of one measurement")
    parser.add_argument("--rounds", type=_at_least(1), default=4, help="measurements of each case")
    parser.add_argument("--warm-up", type=_at_least(0), default=1, help="seconds of load before the first of them")
    parser.add_argument("--connections", type=_at_least(1), default=32, help="keep-alive connections")
    parser.add_argument("--tokens", type=_at_least(1), default=1000, help="different tokens, sent in turn")
    parser.add_argument("--idle", type=_at_least(1), default=10_000, help="idle connections")
    parser.add_argument("--only", default=",".join(names), help=f"contenders with commas: {', '.join(names)}")
    parser.add_argument("--rows", default=",".join(PARTS), help=f"what is measured, with commas: {', '.join(PARTS)}")
    parser.add_argument("--write-docs", action="store_true", help="put the results into docs/performance.md")
    options = parser.parse_args(words)
    only = _chosen(parser, options.only, names)
    parts = _chosen(parser, options.rows, {part: part for part in PARTS})
    if options.write_docs and (len(only), len(parts)) != (len(CONTENDERS), len(PARTS)):
        parser.error("--write-docs is for a run of everything")
    return Plan(
        options.seconds,
        options.rounds,
        options.warm_up,
        options.connections,
        options.tokens,
        options.idle,
        only,
        frozenset(parts),
        options.write_docs,
    )


def _chosen(parser: argparse.ArgumentParser, asked: str, known: Mapping[str, _T]) -> tuple[_T, ...]:
    wanted = dict.fromkeys(asked.split(","))
    if unknown := wanted.keys() - known.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return tuple(each for name, each in known.items() if name in wanted)


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"must be {least} or more")
        return int(text)

    return number
