"""How long a revocation takes from the process that answered it to another one: asked until that one refuses."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

from bench.fleets import Store, calling, fleet_over, logging_out, opened, port_of
from bench.processes import BenchError
from bench.wire import Connection

POLL = 0.002
"""Seconds between two requests with a revoked token."""
_PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Delays:
    """Milliseconds from the answer of one process to the first refusal by the other."""

    store: str
    number: int
    p50: float
    p99: float
    greatest: float


async def delays_over(store: Store, directory: Path, house: Path, rounds: int, lanes: int) -> Delays:
    """Revoke so many sessions at one of two gateways, a few at a time."""
    async with fleet_over(store, directory, house) as ships:
        first, second = await asyncio.to_thread(ships.pair)
        numbers = iter(range(rounds))
        lists = await asyncio.gather(*(_lane(port_of(first), port_of(second), numbers) for _ in range(lanes)))
        found = [delay * 1000 for delays in lists for delay in delays]
        parts = quantiles(found, n=100)
        return Delays(store.name, len(found), parts[49], min(parts[98], max(found)), max(found))


async def _lane(first_port: int, second_port: int, numbers: Iterator[int]) -> list[float]:
    with closing(Connection(first_port)) as first, closing(Connection(second_port)) as second:
        return [await _delay(first, second, number) for number in numbers]


async def _delay(first: Connection, second: Connection, number: int) -> float:
    tokens = await opened(first, f"user-{number}")
    request = calling(tokens.access)
    if (answer := await second.ask(request)).status != 200:
        raise BenchError(f"a good token was answered with {answer.status}")
    # Not in step with the other's reading of the feed.
    await asyncio.sleep(0.1 * (number % 97) / 97)
    if (answer := await first.ask(logging_out(tokens.refresh))).status != 204:
        raise BenchError(f"a logout was answered with {answer.status}")
    since = time.perf_counter()
    while (await second.ask(request)).status != 401:
        if time.perf_counter() - since > _PATIENCE:
            raise BenchError(f"a revoked token was still accepted after {_PATIENCE:.0f} s")
        await asyncio.sleep(POLL)
    return time.perf_counter() - since
