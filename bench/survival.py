"""`python -m bench.survival`: kill Redis, the primary of a Sentinel group and gateways under load: who is logged out?

The exit status is 1 if an honest client was logged out, or a revoked token accepted after the bound.
"""

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from bench.conditions import session_conditions
from bench.fleets import SQLITE, Store, house_in, redis_store, sentinel_store
from bench.processes import STOP_SIGNALS, BenchError
from bench.storm import Event, Outcome, Scenario, kill_gateway, kill_primary, kill_redis, play, revive_primary
from bench.tables import table

SESSIONS = 10_000
_PER_SECOND = 250
"""Exchanges that the clients shall want: access tokens live accordingly, but never shorter than _SHORTEST seconds."""
_SHORTEST = 6

Play = tuple[str, Callable[[Path], AbstractContextManager[Store]], Callable[[float], list[Event]], float]
"""A scenario: name, store, events at a pace, seconds at pace 1."""


def main() -> int:
    """Play the scenarios. The exit status is 2 if one could not be played."""
    arguments = _arguments()
    for number in STOP_SIGNALS:
        signal.signal(number, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory(prefix="survival-") as directory:
            outcomes = asyncio.run(_play_all(arguments, Path(directory)))
    except BenchError as error:
        print(f"survival: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nsurvival: stopped", file=sys.stderr)
        return 130
    logged_out = sum(len(outcome.tally.logged_out) for outcome in outcomes)
    accepted = sum(len(outcome.tally.accepted) for outcome in outcomes)
    unclear = sum(outcome.unclear for outcome in outcomes)
    print(f"honest clients logged out: {logged_out}; revoked tokens accepted after the bound: {accepted}")
    return 1 if logged_out or accepted or unclear else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.survival", description=__doc__)
    parser.add_argument("--sessions", type=int, default=None, help=f"of each scenario; {SESSIONS:,} if not given")
    parser.add_argument("--seed", type=int, default=1, help="of what the clients do")
    parser.add_argument("--quick", action="store_true", help="few sessions and short times, to see that it runs")
    parser.add_argument("--only", action="append", choices=[name for name, *_ in PLAYS], help="play only this")
    return parser.parse_args()


async def _play_all(arguments: argparse.Namespace, directory: Path) -> list[Outcome]:
    sessions = arguments.sessions or (60 if arguments.quick else SESSIONS)
    pace = 0.1 if arguments.quick else 1.0
    facts = session_conditions({"sessions": sessions, "seed": arguments.seed})
    house = await asyncio.to_thread(house_in, directory)
    outcomes = []
    for name, open_store, events, seconds in PLAYS:
        if arguments.only and name not in arguments.only:
            continue
        with open_store(directory / name) as store:
            lifetime = max(2 if arguments.quick else _SHORTEST, sessions // _PER_SECOND)
            played = Scenario(name, store, events(pace), seconds * pace, sessions, lifetime, arguments.seed)
            began = time.monotonic()
            outcome = await play(played, directory / f"gateways over {name}", house)
        print(f"{_story(outcome)}\n  played in {time.monotonic() - began:.0f} s\n", flush=True)
        outcomes.append(outcome)
    print(_table(outcomes), end="\n\n")
    print(facts, end="\n\n")
    return outcomes


# --- what is played


def _redis(directory: Path) -> AbstractContextManager[Store]:
    return redis_store("redis", directory, appendonly="yes", appendfsync="always")


def _redis_events(pace: float) -> list[Event]:
    return [
        Event(10 * pace, "kill -9 of Redis", kill_redis(1 * pace)),
        Event(25 * pace, "kill -9 of Redis", kill_redis(3 * pace)),
        Event(35 * pace, "kill -9 of a gateway", kill_gateway),
        Event(45 * pace, "kill -9 of Redis", kill_redis(8 * pace)),
    ]


def _sentinel(directory: Path) -> AbstractContextManager[Store]:
    replication = {"min-replicas-to-write": "1", "min-replicas-max-lag": "2"}
    return sentinel_store(directory, {"appendonly": "yes", **replication})


def _sentinel_events(pace: float) -> list[Event]:
    kill = Event(15 * pace, "kill -9 of the primary", kill_primary(1 + pace / 2))
    if pace < 1:
        return [kill]
    return [
        kill,
        # Not at once: replicas that the Sentinels have not told yet would follow the old primary again.
        Event(30 * pace, "the old primary is back", revive_primary),
        Event(35 * pace, "kill -9 of a gateway", kill_gateway),
    ]


def _sqlite(directory: Path) -> AbstractContextManager[Store]:
    return nullcontext(SQLITE)


def _sqlite_events(pace: float) -> list[Event]:
    return [Event(at * pace, "kill -9 of a gateway", kill_gateway) for at in (10, 20)]


PLAYS: Sequence[Play] = (
    ("redis", _redis, _redis_events, 65),
    ("sentinel", _sentinel, _sentinel_events, 50),
    ("sqlite", _sqlite, _sqlite_events, 35),
)


# --- what is printed


def _story(outcome: Outcome) -> str:
    lines = [f"{outcome.scenario.name}:", *outcome.events]
    lines += [f"LOGGED OUT {each}" for each in outcome.tally.logged_out[:10]]
    lines += [f"ACCEPTED {each}" for each in outcome.tally.accepted[:10]]
    return "\n  ".join(lines)


def _table(outcomes: Sequence[Outcome]) -> str:
    rows = [
        (name, *(f"{column.get(name, 0):,}" for column in columns))
        for columns in zip(*map(_sections, outcomes), strict=True)
        for name in _names(columns)
    ]
    return table(("counted", *(outcome.scenario.name for outcome in outcomes)), rows)


def _names(columns: Iterable[Mapping[str, int]]) -> list[str]:
    """Return every name once, in the order of the first that have them."""
    return list(dict.fromkeys(name for column in columns for name in column))


def _sections(outcome: Outcome) -> tuple[Mapping[str, int], ...]:
    tally = outcome.tally
    first = {
        "sessions": outcome.scenario.sessions,
        "honest clients logged out": len(tally.logged_out),
        "revoked tokens accepted after the bound": len(tally.accepted),
        "sessions unclear in the end": outcome.unclear,
        "exchanges answered with tokens": len(tally.exchanged_at),
    }
    return first, outcome.metrics, dict(sorted(tally.counts.items())), dict(sorted(tally.errors.items()))


if __name__ == "__main__":
    sys.exit(main())
