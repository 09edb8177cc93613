"""How many logins, exchanges, requests and logouts a process does, what each costs it, and what a session takes."""

import asyncio
import itertools
import os
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench.fleets import SQLITE_FILE, Store, Tokens, calling, exchanging, fleet_over, logging_out, opening, port_of
from bench.measure import cpu_seconds
from bench.processes import BenchError, Cores
from bench.results import Spread
from bench.wire import Answer, Connection

Step = Callable[[Connection], Awaitable[bool]]
"""One operation of a client; False when it has nothing more to do."""
Do = Callable[[Connection, Tokens], Awaitable[None]]
"""What is done with a session."""

_ROUNDS = 5
_LONG = {"lifetime": "1h", "jitter": 0}


@dataclass(frozen=True, slots=True)
class Speed:
    """What one kind of operation took. CPU is in microseconds per operation."""

    what: str
    number: int
    rate: float
    cpu_us: float
    store_cpu_us: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class StoreSpeeds:
    """What was measured over one store. Bytes are per session: of all its keys in Redis, of the file in SQLite."""

    store: str
    rounds: list[Speed]
    bytes_new: float
    bytes_exchanged: float

    @property
    def speeds(self) -> list[Speed]:
        """One of each kind, with the medians of its rounds."""
        return [self.of(what) for what in dict.fromkeys(speed.what for speed in self.rounds)]

    def of(self, what: str) -> Speed:
        """Return the medians of one kind."""
        return _median_of(self._rounds_of(what))

    def cpu_ratio(self, what: str, base: str) -> Spread:
        """Return how many times the CPU of another kind one takes, round by round: the machine's own speed drifts."""
        pairs = zip(self._rounds_of(what), self._rounds_of(base), strict=True)
        spread = Spread.of(one.cpu_us / other.cpu_us for one, other in pairs)
        assert spread is not None
        return spread

    def _rounds_of(self, what: str) -> list[Speed]:
        return [speed for speed in self.rounds if speed.what == what]


@dataclass(slots=True)
class _Run:
    """The clients of one gateway, each with a connection and its share of the sessions."""

    store: Store
    directory: Path
    port: int
    pid: int
    clients: int
    empty: int = 0
    tokens: list[list[Tokens]] = field(default_factory=list)
    speeds: list[Speed] = field(default_factory=list)

    async def measured(self, what: str, steps: Sequence[Step], seconds: float) -> Speed:
        """Let every client repeat its step for so long, or until it has nothing more to do."""
        times: list[float] = []
        started = time.perf_counter()
        cpu, store_cpu = cpu_seconds(self.pid), self._store_cpu()

        async def repeat(step: Step) -> None:
            with closing(Connection(self.port)) as connection:
                while (before := time.perf_counter()) - started < seconds and await step(connection):
                    times.append(time.perf_counter() - before)

        await asyncio.gather(*map(repeat, steps))
        elapsed = time.perf_counter() - started
        cpu, store_cpu = cpu_seconds(self.pid) - cpu, self._store_cpu() - store_cpu
        number = len(times)
        if not number:
            raise BenchError(f"{what}: nothing was answered within {seconds} s")
        times.sort()
        per = 1e6 / number
        return Speed(
            what,
            number,
            number / elapsed,
            cpu * per,
            store_cpu * per,
            times[number // 2] * 1000,
            times[number * 99 // 100] * 1000,
        )

    def logins(self, sessions: int) -> list[Step]:
        """Return what opens so many sessions."""
        numbers = iter(range(sessions))
        self.tokens = [[] for _ in range(self.clients)]

        def login(mine: list[Tokens]) -> Step:
            async def step(connection: Connection) -> bool:
                if (number := next(numbers, None)) is None:
                    return False
                mine.append(Tokens.of(_must_be(201, await connection.ask(opening(f"user-{number:06d}")))))
                return True

            return step

        return [login(mine) for mine in self.tokens]

    def each_once(self, do: Do) -> list[Step]:
        """Return what does one thing with each session."""
        return [_step(iter(list(mine)), do) for mine in self.tokens]

    def again_and_again(self, do: Do) -> list[Step]:
        """Return what does one thing with session after session."""
        return [_step(itertools.cycle(mine), do) for mine in self.tokens]

    def bytes(self) -> int:
        """Return what sessions take: the memory of all their keys, or the pages of the file."""
        if self.store.server is not None:
            keys = [key for key in self.store.server.run("KEYS", "*") if b"}:s:" in key or b"}:u:" in key]
            return sum(self.store.server.run("MEMORY", "USAGE", key, "SAMPLES", 0) for key in keys)
        with closing(sqlite3.connect(self.directory / SQLITE_FILE)) as connection:
            [(pages,)], [(size,)] = connection.execute("PRAGMA page_count"), connection.execute("PRAGMA page_size")
            return int(pages) * int(size)

    def _store_cpu(self) -> float:
        return 0.0 if self.store.server is None else cpu_seconds(self.store.server.pid)


async def speeds_over(
    stores: Sequence[Store], directory: Path, house: Path, cores: Cores, sessions: int, seconds: float, clients: int
) -> list[StoreSpeeds]:
    """Measure one gateway over each store: by turns, since the machine's own speed drifts."""
    async with AsyncExitStack() as stack:
        runs = []
        for store in stores:
            place = directory / f"speed {store.name}"
            ships = await stack.enter_async_context(fleet_over(store, place, house, access=_LONG))
            gateway = await asyncio.to_thread(ships.start)
            move(gateway.pid, cores.contender)
            if store.server is not None:
                move(store.server.pid, cores.load)
            runs.append(_Run(store, place, port_of(gateway), gateway.pid, clients))
        for run in runs:
            run.empty = run.bytes()
        await _in_turn(runs, "login", lambda run: run.logins(sessions), 1e6)
        new = [(run.bytes() - run.empty) / sessions for run in runs]
        await _in_turn(runs, "", lambda run: run.each_once(_exchange), 1e6)
        exchanged = [(run.bytes() - run.empty) / sessions for run in runs]
        for _ in range(_ROUNDS):
            await _in_turn(runs, "exchange", lambda run: run.again_and_again(_exchange), seconds / _ROUNDS)
            # A first use is verified, and noted in the record.
            await _in_turn(runs, "", lambda run: run.each_once(_call), 1e6)
            for run in runs:
                await _until_idle(run.pid)
            await _in_turn(runs, "request", lambda run: run.again_and_again(_call), seconds / _ROUNDS / 2)
        await _in_turn(runs, "logout", lambda run: run.each_once(_logout), 1e6)
        sizes = zip(runs, new, exchanged, strict=True)
        return [StoreSpeeds(run.store.name, run.speeds, *both) for run, *both in sizes]


async def _in_turn(runs: Sequence["_Run"], what: str, steps: Callable[["_Run"], list[Step]], seconds: float) -> None:
    for run in runs:
        speed = await run.measured(what, steps(run), seconds)
        if what:
            run.speeds.append(speed)


async def _until_idle(pid: int) -> None:
    for _ in range(60):
        before = cpu_seconds(pid)
        await asyncio.sleep(0.5)
        if cpu_seconds(pid) - before < 0.03:
            return


def _median_of(rounds: Sequence[Speed]) -> Speed:
    def of(value: Callable[[Speed], float]) -> float:
        return median(map(value, rounds))

    return Speed(
        rounds[0].what,
        sum(each.number for each in rounds),
        of(lambda each: each.rate),
        of(lambda each: each.cpu_us),
        of(lambda each: each.store_cpu_us),
        of(lambda each: each.p50_ms),
        of(lambda each: each.p99_ms),
    )


def move(pid: int, core: int) -> None:
    """Keep a process, with all of its threads, on a core."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread.name), {core})


def _step(sessions: Iterator[Tokens], do: Do) -> Step:
    async def step(connection: Connection) -> bool:
        if (tokens := next(sessions, None)) is None:
            return False
        await do(connection, tokens)
        return True

    return step


async def _exchange(connection: Connection, tokens: Tokens) -> None:
    fresh = Tokens.of(_must_be(200, await connection.ask(exchanging(tokens.refresh))))
    if fresh.refresh == tokens.refresh:
        raise BenchError("an exchange gave the same refresh token again")
    tokens.access, tokens.refresh = fresh.access, fresh.refresh


async def _call(connection: Connection, tokens: Tokens) -> None:
    _must_be(200, await connection.ask(calling(tokens.access)))


async def _logout(connection: Connection, tokens: Tokens) -> None:
    _must_be(204, await connection.ask(logging_out(tokens.refresh)))


def _must_be(status: int, answer: Answer) -> Answer:
    if answer.status != status:
        raise BenchError(f"answered {answer.status}, not {status}: {answer.body[:200]!r}")
    return answer
