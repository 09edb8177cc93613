"""What real clients need: an upstream, gateways of their own, and the logs of these when a test fails."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.clients.processes import Fleet, echo_running, fleet

MakeFleet = Callable[..., Fleet]


@pytest.fixture(scope="session")
def echo() -> Iterator[str]:
    """The URL of an upstream that answers with the headers it got."""
    with echo_running() as url:
        yield url


@pytest.fixture
def make_fleet(tmp_path: Path, echo: str) -> Iterator[MakeFleet]:
    """Makes a fleet of gateways for one test: of a `state`, and the other fields of a Fleet."""
    with ExitStack() as stack:

        def make(state: dict[str, Any], upstream: str = echo, **options: Any) -> Fleet:
            return stack.enter_context(fleet(tmp_path / "fleet", state, upstream, **options))

        yield make


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Show the logs of the gateways with a test that failed."""
    report = yield
    if report.failed:
        found = [value for value in getattr(item, "funcargs", {}).values() if isinstance(value, Fleet)]
        report.sections += [("Logs of gateways", each.logs()) for each in found]
    return report
