"""Trips go through the real server: over both event loops, and nothing may be left over."""

import asyncio
import gc
import importlib.util
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.trips.servers import httpbin_running


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every trip on both event loops."""
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    if importlib.util.find_spec("uvloop"):
        import uvloop

        loops["uvloop"] = uvloop.new_event_loop
    return loops


@pytest.fixture(autouse=True, scope="session")
def _quick_collections() -> Iterator[None]:
    """Spare the collections below what was imported before."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
async def _no_callback_fails() -> AsyncIterator[None]:
    """Fail a test during which an exception reached the event loop."""
    loop = asyncio.get_running_loop()
    failures: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: failures.append(context))
    yield
    loop.set_exception_handler(None)
    assert not failures


@pytest.fixture(autouse=True)
async def _nothing_is_left_over() -> AsyncIterator[None]:
    """Fail a test that leaves a socket or a task behind."""
    before = _sockets()
    yield
    left: set[asyncio.Task[object]] = set()
    for _ in range(100):
        gc.collect()
        left = asyncio.all_tasks() - {current for current in [asyncio.current_task()] if current}
        if not left and _sockets() <= before:
            return
        await asyncio.sleep(0.01)
    assert not left, f"tasks are left: {left}"
    assert _sockets() <= before, "sockets are left open"


def _sockets() -> int:
    links = Path("/proc/self/fd")
    if not links.exists():
        return 0
    return sum(os.readlink(link).startswith("socket:") for link in links.iterdir() if os.path.lexists(link))


@pytest.fixture(scope="session")
def httpbin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a httpbin: a real application, on a server that speaks HTTP/1.1."""
    with httpbin_running(tmp_path_factory.mktemp("httpbin")) as url:
        yield url
