"""What depends on the event loop is tried on both."""

import asyncio
from collections.abc import Callable

import pytest

from tests.trips import conftest as trips

LOOPS = frozenset({"test_certificates.py"})
"""TLS is the loop's own."""


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.path.name in LOOPS:
        return trips.pytest_asyncio_loop_factories(config, item)
    return {"asyncio": asyncio.new_event_loop}
