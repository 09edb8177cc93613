"""The contract tests run on every store that there is."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.state.base import RevocationFeed, SessionStore
from tests.state.backends import BACKENDS, Backend
from tests.state.backends import backend as running


@pytest.fixture(params=BACKENDS)
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Backend]:
    async with running(request.param, tmp_path) as backend:
        yield backend


@pytest.fixture
async def handles(backend: Backend) -> tuple[SessionStore, RevocationFeed]:
    """One process's store and feed."""
    return await backend.open()


@pytest.fixture
async def others(backend: Backend) -> tuple[SessionStore, RevocationFeed]:
    """Another process's store and feed, of the same state."""
    return await backend.open()


@pytest.fixture
def store(handles: tuple[SessionStore, RevocationFeed]) -> SessionStore:
    return handles[0]


@pytest.fixture
def feed(handles: tuple[SessionStore, RevocationFeed]) -> RevocationFeed:
    return handles[1]


@pytest.fixture
def other_store(others: tuple[SessionStore, RevocationFeed]) -> SessionStore:
    return others[0]


@pytest.fixture
def other_feed(others: tuple[SessionStore, RevocationFeed]) -> RevocationFeed:
    return others[1]


@pytest.fixture
async def now(store: SessionStore) -> int:
    """The store's time, in seconds."""
    return await store.clock() // 1000
