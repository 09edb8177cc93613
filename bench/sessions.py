"""`python -m bench.sessions`: what sessions cost, over SQLite and over Redis, in one run."""

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import session_tables
from bench.conditions import session_conditions
from bench.crowds import Idle, Start, idle_over, idle_without_state, starts_over
from bench.fleets import SQLITE, Store, house_in, redis_store
from bench.lookups import look_ups, view_mib
from bench.processes import STOP_SIGNALS, BenchError, choose_cores
from bench.propagation import Delays, delays_over
from bench.speeds import StoreSpeeds, speeds_over


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    sessions: int = 2000
    seconds: float = 6.0
    clients: int = 32
    rounds: int = 400
    lanes: int = 8
    crowd: tuple[int, ...] = (0, 10_000, 1_000_000)
    idle_seconds: float = 10.0


QUICK = Plan(sessions=40, seconds=0.6, clients=4, rounds=6, lanes=2, crowd=(0, 100, 2000), idle_seconds=0.3)
"""So little that the numbers mean nothing: to see that it runs."""


def main() -> int:
    """Run all of it. The exit status is 2 if something could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.sessions", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="measure next to nothing, to see that it runs")
    plan = QUICK if parser.parse_args().quick else Plan()
    for number in STOP_SIGNALS:
        signal.signal(number, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as directory:
            asyncio.run(_run(plan, Path(directory)))
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nbench: stopped", file=sys.stderr)
        return 130
    return 0


async def _run(plan: Plan, directory: Path) -> None:
    began = time.monotonic()
    facts = session_conditions({"sessions": plan.sessions, "clients": plan.clients, "revocations": plan.crowd[-1]})
    house = await asyncio.to_thread(house_in, directory)
    _print(session_tables.speeds(await _speeds(plan, directory, house)))
    _print(session_tables.delays([delays async for delays in _delays(plan, directory, house)]))
    _print(session_tables.look_ups(await asyncio.to_thread(look_ups, _made(directory / "look-ups"), plan.crowd)))
    growth = await asyncio.to_thread(view_mib, plan.crowd[-1])
    _print(session_tables.starts([start async for start in _starts(plan, directory, house)], plan.crowd[-1], growth))
    _print(session_tables.idles(await _idles(plan, directory, house)))
    _print(facts)
    print(f"done in {time.monotonic() - began:.0f} s")


@contextmanager
def _stores(directory: Path) -> Iterator[tuple[Store, ...]]:
    """Give SQLite, and Redis as it is usually run: it flushes to the disk every second."""
    with redis_store("Redis", directory / "redis", appendonly="yes", appendfsync="everysec") as redis:
        yield SQLITE, redis


async def _speeds(plan: Plan, directory: Path, house: Path) -> list[StoreSpeeds]:
    strict = redis_store("Redis, fsync always", directory / "strict", appendonly="yes", appendfsync="always")
    with _stores(directory) as stores, strict as always:
        all_stores = (*stores, always)
        return await speeds_over(
            all_stores, directory, house, choose_cores(), plan.sessions, plan.seconds, plan.clients
        )


async def _delays(plan: Plan, directory: Path, house: Path) -> AsyncIterator[Delays]:
    with _stores(directory / "delays") as stores:
        for store in stores:
            yield await delays_over(store, directory / f"delay {store.name}", house, plan.rounds, plan.lanes)


async def _starts(plan: Plan, directory: Path, house: Path) -> AsyncIterator[Start]:
    with _stores(directory / "starts") as stores:
        for store in stores:
            for start in await starts_over(store, directory / f"start {store.name}", house, plan.crowd[-1]):
                yield start


async def _idles(plan: Plan, directory: Path, house: Path) -> list[Idle]:
    """Watch all at the same time: none of them takes much."""
    bare = idle_without_state(_made(directory / "idle"), choose_cores(), plan.idle_seconds)
    with _stores(directory / "idles") as stores:
        others = (idle_over(store, directory / f"idle {store.name}", house, plan.idle_seconds) for store in stores)
        return list(await asyncio.gather(bare, *others))


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


def _print(text: str) -> None:
    print(f"{text}\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
