"""One SQLite file, shared by all processes of a host, and the two threads with which this process uses it.

One thread writes: it takes everything that waits into one transaction, so that one flush to the disk serves many. The
other reads, so that no flush keeps a reader waiting. No caller waits longer than the deadline.
"""

import asyncio
import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from gateway.model.clock import Clock, unix_now
from gateway.model.errors import StoreUnavailable
from gateway.state.base import BadStore
from gateway.state.mounts import MOUNTS, network_file_system
from gateway.state.sqlite_tables import prepare, sweep
from gateway.state.sqlite_worker import Style, Work, Worker

T = TypeVar("T")

WRITTEN_TOGETHER = 128
"""How many commits share one transaction, and so one flush, at most."""
READ_TOGETHER = 16
"""A long reading among them keeps the others waiting."""
SWEEP_INTERVAL = 10
"""Seconds between two looks, while something is written, for what need not be kept."""


class SqliteFile:
    """The file at `path`. `deadline` is in seconds; `clock` gives the time of sessions and revocations."""

    def __init__(self, path: Path, clock: Clock = unix_now, *, deadline: float = 2.0, mounts: Path = MOUNTS) -> None:
        self._path = path
        self._clock = clock
        self._deadline = deadline
        self._mounts = mounts
        self._writer: Worker | None = None
        self._reader: Worker | None = None
        self._swept_at = float("-inf")
        self._swept_up_to = ""

    def now_ms(self) -> int:
        """Return the time."""
        return int(self._clock() * 1000)

    async def open(self) -> None:
        """Make the file if there is none, and see that it can be used. Raises BadStore or StoreUnavailable."""
        if self._reader is not None:
            return
        if self._path.name == ":memory:":
            raise BadStore("every process would have a memory of its own: name a file")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnavailable(f"{self._path.parent} cannot be made: {error}") from error
        workers: list[Worker] = []
        try:
            for style in (
                Style("BEGIN IMMEDIATE", WRITTEN_TOGETHER, self._sweep),
                Style("BEGIN", READ_TOGETHER, lambda connection: None),
            ):
                workers.append(Worker(self._path, self._connect, style))
                await self._ask(workers[-1], lambda connection: None)
        except BaseException:
            await self._stop(workers)
            raise
        self._writer, self._reader = workers

    async def write(self, work: Work[T]) -> T:
        """Return what the work returns, once what it wrote is on the disk."""
        return await self._use(self._writer, work)

    async def read(self, work: Work[T]) -> T:
        """Return what the work returns; all that it reads is of one moment, and what was written before is in it."""
        return await self._use(self._reader, work)

    async def close(self) -> None:
        """Let the threads do what waits, and end; or leave them behind after the deadline."""
        workers = [worker for worker in (self._writer, self._reader) if worker is not None]
        self._writer = self._reader = None
        await self._stop(workers)

    async def _stop(self, workers: list[Worker]) -> None:
        for worker in reversed(workers):  # the writer last: then it can empty the log into the file
            await asyncio.wait([asyncio.wrap_future(worker.stop())], timeout=self._deadline)

    async def _use(self, worker: Worker | None, work: Work[T]) -> T:
        if worker is None:
            raise StoreUnavailable("the file is not open")
        try:
            return await self._ask(worker, work)
        except BadStore as error:  # it became so: whoever opened it cannot be told any more
            raise StoreUnavailable(str(error)) from error

    async def _ask(self, worker: Worker, work: Work[T]) -> T:
        try:
            async with asyncio.timeout(self._deadline):
                return await asyncio.wrap_future(worker.do(work))
        except TimeoutError as error:
            raise StoreUnavailable(f"{self._path.name} did not answer within {self._deadline} s") from error
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(f"{self._path.name}: {error}") from error

    # --- in the threads

    def _connect(self) -> sqlite3.Connection:
        """Open the file, and make it if there is none. Raises BadStore, sqlite3.Error or OSError."""
        if kind := network_file_system(self._path, self._mounts):
            raise BadStore(f"{self._path} is on a file system of type {kind}; SQLite needs a disk of this host")
        _make(self._path)
        connection = sqlite3.connect(self._path, timeout=self._deadline, isolation_level=None)
        try:
            [(mode,)] = connection.execute("PRAGMA journal_mode = WAL")
            if mode != "wal":
                raise BadStore(f"{self._path} cannot have a write-ahead log: its file system lacks shared memory")
            connection.execute("PRAGMA temp_store = MEMORY")  # there may be nowhere else to write to
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA fullfsync = ON")  # without it macOS does not wait for the disk
            prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _sweep(self, connection: sqlite3.Connection) -> None:
        now = self.now_ms() // 1000
        if abs(now - self._swept_at) >= SWEEP_INTERVAL:
            self._swept_at = now
            self._swept_up_to = sweep(connection, self._swept_up_to, now)


def _make(path: Path) -> None:
    """Make an empty file for its owner only; SQLite gives the two beside it the same mode.

    Never opens one that is there: closing it would drop the locks that this process has on it (fcntl(2)).
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
