"""A thread with a connection to a SQLite file, which does work that waits for it in transactions.

Within one transaction each piece of work succeeds or fails by itself; what the database cannot do fails them all, and
the connection is opened anew. So it is when the file was replaced by another one. Work that nobody waits for any more
is left out if it has not begun, and completed if it has.
"""

import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
"""Statements within a transaction: it neither begins nor ends one."""


@dataclass(frozen=True, slots=True)
class Style:
    """How a worker takes up work: so many pieces at a time, and what it does at the end of a transaction."""

    begin: str
    together: int
    finish: Work[None]


class Worker:
    """The thread. `connect` opens the file at `path`; what it raises, the work that waits gets."""

    def __init__(self, path: Path, connect: Callable[[], sqlite3.Connection], style: Style) -> None:
        self._path = path
        self._connect = connect
        self._style = style
        self._waiting: SimpleQueue[tuple[Work[Any], Future[Any]] | None] = SimpleQueue()
        self._is_stopping = False
        self._connection: sqlite3.Connection | None = None
        self._opened: tuple[int, int] | None = None
        self._ended: Future[None] = Future()
        threading.Thread(target=self._run, name=f"sqlite {style.begin.lower()}", daemon=True).start()

    def do(self, work: Work[T]) -> Future[T]:
        """Queue some work. The future has its result once the transaction is committed."""
        future: Future[T] = Future()
        self._waiting.put((work, future))
        return future

    def stop(self) -> Future[None]:
        """Let the thread do what waits, close its connection and end. Nothing may be queued after this."""
        self._waiting.put(None)
        return self._ended

    def _run(self) -> None:
        while not self._is_stopping:
            jobs = [job for job in self._next() if job[1].set_running_or_notify_cancel()]
            if jobs:
                self._perform([work for work, _ in jobs], [future for _, future in jobs])
        self._disconnect()
        self._ended.set_result(None)

    def _next(self) -> list[tuple[Work[Any], Future[Any]]]:
        """Wait for work; return all that waits, as far as it is done together."""
        jobs: list[tuple[Work[Any], Future[Any]]] = []
        try:
            job = self._waiting.get()
            while job is not None:
                jobs.append(job)
                if len(jobs) == self._style.together:
                    return jobs
                job = self._waiting.get_nowait()
            self._is_stopping = True
        except Empty:
            pass
        return jobs

    def _perform(self, works: list[Work[Any]], futures: list[Future[Any]]) -> None:
        try:
            connection = self._connected()
            connection.execute(self._style.begin)
            outcomes = [_attempt(connection, work) for work in works]
            self._style.finish(connection)
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - whatever it is, who waits must hear of it, and the thread go on
            self._disconnect()
            outcomes = [_Failed(error)] * len(works)
        for future, outcome in zip(futures, outcomes, strict=True):
            if isinstance(outcome, _Failed):
                future.set_exception(outcome.error)
            else:
                future.set_result(outcome)

    def _connected(self) -> sqlite3.Connection:
        if self._connection is not None and _identity(self._path) != self._opened:
            self._disconnect()
        if self._connection is None:
            self._connection = self._connect()
            self._opened = _identity(self._path)
        return self._connection

    def _disconnect(self) -> None:
        """Close the connection; a transaction that is open is undone."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


@dataclass(frozen=True, slots=True)
class _Failed:
    error: Exception


def _attempt(connection: sqlite3.Connection, work: Work[Any]) -> Any:
    """Return what the work returns, or how it failed, having changed nothing. Raises what the database raises."""
    connection.execute("SAVEPOINT work")
    try:
        outcome = work(connection)
    except sqlite3.Error:
        raise
    except Exception as error:  # noqa: BLE001 - it is for the caller
        connection.execute("ROLLBACK TO work")
        outcome = _Failed(error)
    connection.execute("RELEASE work")
    return outcome


def _identity(path: Path) -> tuple[int, int] | None:
    """Return which file is there: device and inode."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
