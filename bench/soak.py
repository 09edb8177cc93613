"""`python -m bench.soak`: everything at once, for as long as you like; then what must be 0 is printed, and judged.

Two gateways over one Redis, one of them with two workers: honest clients with sessions, upgraded connections, event
streams, uploads, slow clients of every kind, strangers; meanwhile Redis is killed and frozen, workers and gateways are
killed, restarted and reloaded. The second gateway lives through all of it: whatever it holds at the end, it leaks.
"""

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.conditions import session_conditions
from bench.fleets import fleet_over, house_in, port_of, redis_store
from bench.mixed import Mixed, Upstream
from bench.processes import STOP_SIGNALS, BenchError
from bench.storm import MAX_STALENESS, Event, Scenario, Storm, kill_redis
from bench.tables import table
from tests.clients.processes import GatewayProcess

SECONDS = 120
WORKERS = 2
_ROUND = 40.0
"""Seconds in which every disturbance has its turn."""
_SETTLES = 3.0
"""Seconds after a disturbance in which a broken connection is nobody's fault."""
_MEMORY = 8.0
"""MiB that a process may grow between a third of the time and the end: what the allocator does not give back."""
_STRICT = {
    "timeouts": {"open": 2, "head": 2, "body": 2, "keep_alive": 20, "drain": 3, "drain_streams": 1},
    "limits": {"body_rate": 1000},
}
"""Slow clients are got rid of soon."""
_FILES = "open files, without idle connections"
_AT_REST = 45.0
"""Seconds until everything that ends by itself must have ended."""
_HELD = {
    "connections of clients": "gateway_client_connections",
    "upgraded connections": "gateway_tunnels",
    "tasks": "gateway_tasks",
}


@dataclass(frozen=True, slots=True)
class Held:
    """What a process holds."""

    numbers: dict[str, float]
    memory: float
    """MiB."""


@dataclass(slots=True)
class Soak(Storm):
    """A storm with workers, whose second gateway is watched."""

    disturbed_until: float = 0.0
    begun_with: Held | None = None
    memory_then: float = 0.0

    @property
    def redis_port(self) -> int:
        assert self.scenario.store.server is not None
        return self.scenario.store.server.port

    def is_disturbed(self) -> bool:
        return time.monotonic() < self.disturbed_until

    async def start_gateways(self) -> list[GatewayProcess]:
        """Start one with workers, and one without."""
        first, second = self.ships.launch(workers=WORKERS), self.ships.launch()
        gateways = [await asyncio.to_thread(each.until_ready) for each in (first, second)]
        self.begun_with = await held_by(second, self.redis_port)
        return gateways


Disturbance = Callable[[Storm], Awaitable[str]]


def main() -> int:
    """Soak. The exit status is 1 if a number is not 0 that must be, 2 if it could not be played."""
    arguments = _arguments()
    for number in STOP_SIGNALS:
        signal.signal(number, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory(prefix="soak-") as directory:
            return asyncio.run(_soak(arguments, Path(directory)))
    except BenchError as error:
        print(f"soak: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nsoak: stopped", file=sys.stderr)
        return 130


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"{SECONDS} if not given")
    parser.add_argument("--sessions", type=int, default=400, help="honest clients with sessions")
    parser.add_argument("--crowd", type=int, default=4, help="clients of every other kind")
    parser.add_argument("--seed", type=int, default=1, help="of what the clients do")
    return parser.parse_args()


async def _soak(arguments: argparse.Namespace, directory: Path) -> int:
    house = await asyncio.to_thread(house_in, directory)
    with redis_store("redis", directory / "redis", appendonly="yes", appendfsync="always") as store:
        events = _events(arguments.seconds)
        scenario = Scenario("soak", store, events, arguments.seconds, arguments.sessions, 6, arguments.seed, workers=16)
        changes = {
            "access": {"lifetime": "6s", "jitter": 0.2},
            "revocation": {"max_staleness": f"{MAX_STALENESS}s", "when_stale": "closed"},
            **_STRICT,
        }
        async with fleet_over(store, directory / "fleet", house, Upstream, **changes) as ships:
            soak = Soak(scenario, ships)
            return await _play(soak, arguments)


async def _play(soak: Soak, arguments: argparse.Namespace) -> int:
    rng = random.Random(arguments.seed)
    mixed = Mixed(lambda: [port_of(each) for each in soak.gateways], soak.outages, soak.is_disturbed, rng)
    others = asyncio.create_task(_others(soak, mixed, arguments))
    try:
        outcome = await soak.run()
    finally:
        mixed.is_over = True
        await others
    last = soak.gateways[1]
    assert soak.begun_with is not None
    at_end = await _settled(last, soak.redis_port, soak.begun_with)
    must_be_zero = {
        "wrong accepts": [*outcome.tally.accepted, *mixed.findings.wrong_accepts],
        "wrong refusals of honest clients": [
            *outcome.tally.logged_out,
            *mixed.findings.wrong_refusals,
            *["a good access token"] * outcome.tally.counts["good access tokens refused"],
        ],
        "lost sessions": ["nobody could say what became of it"] * outcome.unclear,
        **_leaks(soak, at_end),
        "bugs in the logs": [str(event) for each in soak.ships.gateways for event in each.events("bug")],
    }
    print(_report(soak, mixed, must_be_zero, at_end, outcome.events), end="\n\n")
    print(session_conditions(vars(arguments)))
    return 1 if any(must_be_zero.values()) else 0


async def _others(soak: Soak, mixed: Mixed, arguments: argparse.Namespace) -> None:
    while not soak.clients or len(soak.clients) < soak.scenario.sessions:
        if mixed.is_over:
            return
        await asyncio.sleep(0.1)
    watching = asyncio.create_task(_note_memory(soak, arguments.seconds / 3))
    await mixed.run(arguments.crowd)
    await watching


async def _note_memory(soak: Soak, after: float) -> None:
    await asyncio.sleep(after)
    soak.memory_then = (await held_by(soak.gateways[1], soak.redis_port)).memory


async def held_by(gateway: GatewayProcess, redis_port: int) -> Held:
    """Return what a process holds now."""

    def look() -> Held:
        numbers = {name: gateway.metric(metric) for name, metric in _HELD.items()}
        numbers["busy connections to upstreams"] = gateway.metric("gateway_upstream_connections", state="busy")
        idle = {"state": "idle"}
        # The gateway has both ends of connections to its own endpoints.
        kept = gateway.metric("gateway_upstream_connections", **idle)
        kept += gateway.metric("gateway_upstream_connections", upstream="gateway:endpoints", **idle)
        numbers[_FILES] = _files(gateway.pid, redis_port) - kept
        return Held(numbers, gateway.metric("process_resident_memory_bytes") / 2**20)

    return await asyncio.to_thread(look)


def _files(pid: int, redis_port: int) -> int:
    """Count the open files of a process. Its connections to Redis come and go, up to a bound of their own."""
    links = []
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            links.append(os.readlink(each))
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    to_redis = {f"socket:[{row[9]}]" for row in rows if int(row[2].partition(":")[2], 16) == redis_port}
    return sum(link not in to_redis for link in links)


async def _settled(gateway: GatewayProcess, redis_port: int, wanted: Held) -> Held:
    """Wait until nothing is left that goes away by itself."""
    end = time.monotonic() + _AT_REST
    while True:
        held = await held_by(gateway, redis_port)
        if all(number <= wanted.numbers[name] for name, number in held.numbers.items()) or time.monotonic() > end:
            return held
        await asyncio.sleep(1)


def _leaks(soak: Soak, at_end: Held) -> dict[str, list[str]]:
    assert soak.begun_with is not None
    found: dict[str, list[str]] = {}
    for name, number in at_end.numbers.items():
        more = number - soak.begun_with.numbers[name]
        found[f"leaked {name}"] = [f"{soak.begun_with.numbers[name]:g} at first, {number:g} at the end"] * (more > 0)
    grown = at_end.memory - soak.memory_then
    found["leaked memory"] = [f"grew by {grown:.1f} MiB"] * (grown > _MEMORY)
    return found


# --- disturbances


def _events(seconds: float) -> list[Event]:
    turns: list[tuple[str, Disturbance]] = [
        ("kill -9 of a worker", kill_worker),
        ("kill -9 of Redis", kill_redis(1.5)),
        ("reload of both", reload_both),
        ("rolling restart of the workers", restart_workers),
        ("Redis frozen", freeze_redis),
        ("kill -9 of the parent of workers", kill_parent),
    ]
    step = min(_ROUND, seconds) / len(turns)
    number = max(1, int((seconds - 5) / step))
    return [
        Event((place + 0.5) * step, turns[place % len(turns)][0], _disturbing(turns[place % len(turns)][1]))
        for place in range(number)
    ]


def _disturbing(run: Disturbance) -> Disturbance:
    async def disturb(storm: Storm) -> str:
        assert isinstance(storm, Soak)
        storm.disturbed_until = float("inf")
        try:
            return await run(storm)
        finally:
            storm.disturbed_until = time.monotonic() + _SETTLES

    return disturb


async def kill_worker(storm: Storm) -> str:
    """Kill one of the workers like `kill -9` does."""
    workers = workers_of(storm.gateways[0])
    os.kill(workers[0], signal.SIGKILL)
    await _until(lambda: len(set(workers_of(storm.gateways[0])) - set(workers[:1])) >= len(workers), "a new worker")
    return f"worker {workers[0]} replaced"


async def restart_workers(storm: Storm) -> str:
    """Have the parent replace every worker."""
    before = set(workers_of(storm.gateways[0]))
    os.kill(storm.gateways[0].pid, signal.SIGUSR2)
    await _until(lambda: not before & set(workers_of(storm.gateways[0])), "new workers")
    return f"{len(before)} workers replaced"


async def kill_parent(storm: Storm) -> str:
    """Kill the parent of the workers like `kill -9` does, and start another in its place."""
    gateway = storm.gateways[0]
    await storm.count(gateway)
    workers = workers_of(gateway)
    await asyncio.to_thread(gateway.kill)
    await _until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), "the end of orphans")
    storm.gateways[0] = await asyncio.to_thread(lambda: storm.ships.launch(workers=WORKERS).until_ready())
    return "its workers ended too, another in its place"


async def reload_both(storm: Storm) -> str:
    """Have both read their configuration again."""
    for gateway in storm.gateways:
        os.kill(gateway.pid, signal.SIGHUP)
    await asyncio.sleep(1)
    return "told to"


async def freeze_redis(storm: Storm) -> str:
    """Stop Redis for two seconds."""
    server = storm.scenario.store.server
    assert server is not None
    storm.outages.begin(time.monotonic())
    server.pause()
    await asyncio.sleep(2)
    server.resume()
    gone = storm.outages.end(time.monotonic())
    return f"for {gone:.1f} s, exchanges again {await storm.recovery(time.monotonic()):.1f} s later"


def workers_of(gateway: GatewayProcess) -> list[int]:
    """Return the processes that a gateway has started."""
    children = Path(f"/proc/{gateway.pid}/task/{gateway.pid}/children")
    return [int(pid) for pid in children.read_text().split()]


async def _until(is_so: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 30
    while not is_so():
        if time.monotonic() > end:
            raise BenchError(f"{what} did not come")
        await asyncio.sleep(0.05)


# --- what is printed


def _report(soak: Soak, mixed: Mixed, zero: dict[str, list[str]], at_end: Held, events: list[str]) -> str:
    found = [f"{name.upper()}: {each}" for name, all_of_it in zero.items() for each in all_of_it[:10]]
    happened = {**soak.tally.counts, **soak.tally.errors, **mixed.findings.counts}
    held = ", ".join(f"{name} {number:g}" for name, number in at_end.numbers.items())
    return "\n".join(
        [
            *events,
            "",
            table(("must be 0", "counted"), [(name, str(len(each))) for name, each in zero.items()]),
            *found,
            "",
            f"memory after a third of the time {soak.memory_then:.1f} MiB, at the end {at_end.memory:.1f} MiB",
            f"held at the end: {held}",
            "",
            table(("counted", "times"), [(name, f"{number:,}") for name, number in sorted(happened.items())]),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
