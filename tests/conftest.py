"""Nothing is tested that is not of these sources, and what takes longest begins first."""

import signal

import pytest

from gateway.freshness import outdated

SLOWEST = (
    "tests/test_bench.py",
    "tests/clients/test_workers.py",
    "tests/workers/test_parent.py",
    "tests/deploy/test_monitoring.py",
    "tests/clients/test_lost_stores.py",
    "tests/trips/test_bounds.py",
    "tests/clients/test_workers_insight.py",
    "tests/trips/test_revocation.py",
    "tests/fuzz/test_fuzzers.py",
    "tests/workers/test_activation.py",
    "tests/clients/test_rotation.py",
    "tests/admin/test_schemathesis.py",
    "tests/clients/test_faults.py",
    "tests/clients/test_two_gateways.py",
)
"""Files. Those that run side by side are given out one by one: none of these shall be left over at the end."""


def pytest_configure() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it
    if (what_to_do := outdated()) is not None:
        pytest.exit(what_to_do, returncode=4)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {file: place for place, file in enumerate(SLOWEST)}
    items.sort(key=lambda item: places.get(item.nodeid.partition("::")[0], len(places)))
