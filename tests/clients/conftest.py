"""What real clients need: an upstream, gateways of their own, and the logs of these when a test fails."""

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.clients.asking import client
from tests.clients.echo import echo_running
from tests.clients.processes import (
    SCOPE,
    Fleet,
    GatewayProcess,
    fleet,
    make_house,
    sessions,
)
from tests.ports import free_port
from tests.state.redis_servers import RedisServer, server_of
from tests.trips.certificates import make_authority

QUICK = 0.5
"""Seconds after which a store that is stopped counts as away. Elsewhere much more: the machine may be busy."""


@pytest.fixture(scope="session")
def echo() -> Iterator[str]:
    """The URL of an upstream that answers with the headers it got."""
    with echo_running() as url:
        yield url


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys and users, made once: processes take their time."""
    directory = tmp_path_factory.mktemp("house") / "house"
    make_house(directory)
    return directory


@dataclass(frozen=True)
class Issuer:
    """A gateway that real clients know as `url`, over TLS, with an authority of its own."""

    url: str
    ca: str
    fleet: Fleet
    gateway: GatewayProcess


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory, house: Path, echo: str) -> Iterator[Issuer]:
    directory = tmp_path_factory.mktemp("issuer")
    authority = make_authority(directory)
    certificate, key = authority.issue("localhost")
    port = free_port()
    url = f"https://127.0.0.1:{port}"
    resource = {"identifier": f"{url}/api", "scopes_supported": SCOPE.split()}
    settings = {"sessions": {**sessions(url), "resource": resource}}
    state = {"url": "sqlite:state.db", "timeout": 2}
    with fleet(directory / "fleet", house, state, echo, issuer=url, changes=settings) as ships:
        gateway = ships.start(port, tls={"certificate": str(certificate), "key": str(key)})
        yield Issuer(url, str(authority.file), ships, gateway)


@pytest.fixture
def no_store(issuer: Issuer) -> Iterator[Callable[[], None]]:
    """Nobody can write to the store until the function is called, or the test ends."""
    with closing(sqlite3.connect(issuer.fleet.directory / "state.db", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")

        def come_back() -> None:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

        yield come_back


@dataclass(frozen=True)
class Pair:
    """Two gateways on one store, with what can be started beside them."""

    fleet: Fleet
    a: GatewayProcess
    b: GatewayProcess
    redis: RedisServer | None

    @property
    def server(self) -> RedisServer:
        assert self.redis is not None
        return self.redis


@pytest.fixture(scope="module", params=["redis", "sqlite"])
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, house: Path, echo: str
) -> Iterator[Pair]:
    directory = tmp_path_factory.mktemp("pair")
    with ExitStack() as stack:
        redis = stack.enter_context(server_of(directory / "redis")) if request.param == "redis" else None
        url = "sqlite:state.db" if redis is None else f"redis://127.0.0.1:{redis.port}"
        ships = stack.enter_context(fleet(directory / "fleet", house, {"url": url, "timeout": 5}, echo))
        yield Pair(ships, *ships.pair(), redis)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with client() as session:
        yield session


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Show the logs of the gateways with a test that failed."""
    report = yield
    if report.failed:
        used = getattr(item, "funcargs", {}).values()
        fleets = [getattr(value, "fleet", value) for value in used]
        report.sections += [("Logs of gateways", each.logs()) for each in fleets if isinstance(each, Fleet)]
    return report
