"""Nothing is tested that is not of these sources."""

import pytest

from gateway.freshness import outdated


def pytest_configure() -> None:
    if (what_to_do := outdated()) is not None:
        pytest.exit(what_to_do, returncode=4)
