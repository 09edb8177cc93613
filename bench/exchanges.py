"""What a refresh exchange on Redis costs beside a proxied request: the part of `bench.sessions` that has a target."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Final

from bench.fleets import house_in, redis_store
from bench.processes import BenchError, Cores, program_path
from bench.results import Exchange
from bench.speeds import speeds_over

_SESSIONS: Final = 500
_CLIENTS: Final = 32
_ATTEMPTS: Final = 3


def measure_exchange(directory: Path, cores: Cores, seconds: float) -> Exchange:
    """Measure a gateway over a redis-server of its own that flushes to the disk every second.

    On a machine that is too busy the store may be late, and the gateway say so: then it is tried again.
    """
    program_path("redis-server")
    for attempt in range(_ATTEMPTS - 1):
        with suppress(BenchError):
            return _measured(directory / str(attempt), cores, seconds)
    return _measured(directory / "last", cores, seconds)


def _measured(directory: Path, cores: Cores, seconds: float) -> Exchange:
    directory.mkdir(parents=True)
    house = house_in(directory)
    with redis_store("Redis", directory / "redis", appendonly="yes", appendfsync="everysec") as store:
        [speeds] = asyncio.run(speeds_over([store], directory, house, cores, _SESSIONS, seconds, _CLIENTS))
    ratio = speeds.cpu_ratio("exchange", "request")
    return Exchange(speeds.of("exchange").cpu_us, speeds.of("request").cpu_us, ratio)
