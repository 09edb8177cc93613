"""The states that the contract tests run on: each can be opened several times, as by several processes."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol

from gateway.state.base import RevocationFeed, SessionStore
from gateway.state.sqlite import SqliteFeed, SqliteStore
from gateway.state.sqlite_file import SqliteFile

BACKENDS = ("sqlite", "redis", "sentinel", "cluster")


class Backend(Protocol):
    """One state. Its time is its own and moves by itself: tests ask for it and never set it."""

    name: str

    async def open(self) -> tuple[SessionStore, RevocationFeed]:
        """Return what a new process would have. It is closed with the backend, if it is not before."""

    async def wipe(self) -> None:
        """Lose everything, while it is in use."""


@asynccontextmanager
async def backend(name: str, directory: Path) -> AsyncIterator[Backend]:
    """Run a backend for as long as it is used. What it needs on disk goes to the directory."""
    if name == "sqlite":
        async with AsyncExitStack() as stack:
            yield SqliteBackend(directory / "state" / "gateway.db", stack)
    else:
        from tests.state.redis_servers import redis_backend

        async with redis_backend(name, directory) as redis:
            yield redis


class SqliteBackend:
    name = "sqlite"

    def __init__(self, path: Path, stack: AsyncExitStack) -> None:
        self._path = path
        self._stack = stack

    async def open(self) -> tuple[SessionStore, RevocationFeed]:
        file = SqliteFile(self._path, deadline=20)  # other tests may keep the disk busy
        store = SqliteStore(file)
        self._stack.push_async_callback(store.close)
        await store.open()
        return store, SqliteFeed(file)

    async def wipe(self) -> None:
        for path in self._path.parent.iterdir():
            path.unlink()
