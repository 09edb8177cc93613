"""Listeners are tried on both event loops, and nothing may be left over."""

from tests.trips.conftest import _nothing_is_left_over, pytest_asyncio_loop_factories

__all__ = ["_nothing_is_left_over", "pytest_asyncio_loop_factories"]
