"""One house for a whole table, on each event loop; what is left over is looked at when it is closed."""

import asyncio
import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

FACTORIES: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
if importlib.util.find_spec("uvloop"):
    import uvloop

    FACTORIES["uvloop"] = uvloop.new_event_loop


@pytest.fixture(scope="module", params=list(FACTORIES))
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    """An event loop that a module keeps. Nothing may be left over when it is done."""
    before = _sockets()
    with asyncio.Runner(loop_factory=FACTORIES[request.param]) as runner:
        inner = _sockets()
        yield runner
        runner.run(asyncio.sleep(0.01))
        assert _sockets() <= inner, "sockets are left open"
        assert not asyncio.all_tasks(runner.get_loop()), "tasks are left"
    assert _sockets() <= before


@pytest.fixture(autouse=True)
def _no_callback_fails() -> None:
    """The house looks after its own loop."""


@pytest.fixture(autouse=True)
def _nothing_is_left_over() -> None:
    """The house keeps its connections from row to row."""


def _sockets() -> int:
    links = Path("/proc/self/fd")
    if not links.exists():
        return 0
    return sum(os.readlink(link).startswith("socket:") for link in links.iterdir() if os.path.lexists(link))
