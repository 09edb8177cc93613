"""A real process that notices changes by itself, and is told to reload with SIGHUP. Several: test_workers."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.clients.asking import Tokens, status_of
from tests.clients.processes import Fleet, GatewayProcess, fleet, opened
from tests.trips.reloading import replace


@pytest.fixture(scope="module")
def ships(tmp_path_factory: pytest.TempPathFactory, house: Path, echo: str) -> Iterator[Fleet]:
    directory = tmp_path_factory.mktemp("reload") / "fleet"
    with fleet(directory, house, {"url": "sqlite:state.db", "timeout": 10}, echo) as found:
        yield found


def file_of(ships: Fleet, gateway: GatewayProcess) -> Path:
    return ships.directory / f"{gateway.name}.yaml"


def change(ships: Fleet, gateway: GatewayProcess, **sections: Any) -> None:
    """Replace sections of the configuration file of a gateway."""
    file = file_of(ships, gateway)
    replace(file, json.dumps({**json.loads(file.read_bytes()), **sections}).encode())


def routes(**more: Any) -> list[dict[str, Any]]:
    return [{"id": "api", "match": {"path": "/api/**"}, "upstream": "app", **more}]


async def test_a_process_notices_a_change_keeps_sessions_and_tells_what_is_wrong(
    ships: Fleet, http: aiohttp.ClientSession
) -> None:
    gateway = ships.start()
    tokens: Tokens = opened(gateway.url)
    assert await status_of(http, gateway, tokens) == 200
    change(ships, gateway, routes=routes(require=[{"scopes": ["orders:delete"]}]))
    gateway.wait_until(lambda: gateway.events("config_reloaded"), "reloaded")
    assert await status_of(http, gateway, tokens) == 403
    change(ships, gateway, routes=routes(), log={"level": "loud"})
    os.kill(gateway.pid, signal.SIGHUP)
    gateway.wait_until(lambda: gateway.events("config_rejected"), "told what is wrong")
    told = gateway.events("config_rejected")[0]
    file = file_of(ships, gateway)
    assert told["level"] == "error"
    assert told["mistakes"] == [f'{file}:1: log.level: must be "info", "warning" or "error", not "loud"']
    assert gateway.metric("gateway_config_last_reload_successful") == 0
    assert await status_of(http, gateway, tokens) == 403
    change(ships, gateway, log={"level": "info"}, listen=[{"address": "127.0.0.1:1"}])
    gateway.wait_until(lambda: gateway.events("config_refused"), "told what needs a restart")
    assert any("listen[0].address" in each for each in gateway.events("config_refused")[0]["settings"])
    address = gateway.url.removeprefix("http://")
    change(ships, gateway, listen=[{"address": address}])
    gateway.wait_until(lambda: gateway.metric("gateway_config_last_reload_successful") == 1, "well again")
    assert await status_of(http, gateway, tokens) == 200
    assert gateway.stop() == 0
    assert not gateway.events("bug")
