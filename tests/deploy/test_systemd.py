"""The units are what systemd takes; they give the gateway little, and it runs with a socket of systemd's."""

import os
import re
import shutil
import signal
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from gateway.commands.check import checked
from tests.clients.processes import PATIENCE, status_at
from tests.deploy.tools import DEPLOY, ROOT, tool
from tests.minting import jwks, make_key
from tests.ports import free_port
from tests.trips.wire import eventually

UNITS = DEPLOY / "systemd"


def units(directory: Path) -> list[str]:
    """Return copies whose programs are there, as systemd wants them to be."""
    for file in ("bearergate.service", "bearergate.socket"):
        text = re.sub("/opt/bearergate/bin/gateway|/bin/kill", sys.executable, (UNITS / file).read_text())
        (directory / file).write_text(text)
    return [str(directory / "bearergate.service"), str(directory / "bearergate.socket")]


def setting(file: str, section: str, name: str) -> str:
    parser = ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNITS / file)
    return parser[section][name]


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    run = subprocess.run(
        [tool("systemd-analyze"), "verify", "--man=no", *units(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (run.stderr, run.returncode) == ("", 0)


def test_the_service_may_do_little(tmp_path: Path) -> None:
    command = [tool("systemd-analyze"), "security", "--offline=true", "--threshold=15", units(tmp_path)[0]]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_socket_is_where_the_configuration_listens() -> None:
    config = checked(UNITS / "config.yaml", {}).config
    assert [str(listener.address) for listener in config.listen] == [
        setting("bearergate.socket", "Socket", "ListenStream")
    ]


def test_systemd_waits_until_the_gateway_has_drained() -> None:
    timeouts = checked(UNITS / "config.yaml", {}).config.timeouts
    assert int(setting("bearergate.service", "Service", "TimeoutStopSec")) > timeouts.drain_delay + timeouts.drain


async def test_the_gateway_serves_at_the_socket_that_it_is_given(tmp_path: Path) -> None:
    if (activate := shutil.which("systemd-socket-activate")) is None:
        pytest.skip("systemd-socket-activate is not here")
    (tmp_path / "keys.json").write_bytes(jwks(make_key("EdDSA", "k1")))
    address = f"127.0.0.1:{free_port()}"
    text = (UNITS / "config.yaml").read_text().replace("0.0.0.0:8080", address).replace("workers: auto", "workers: 1")
    text = text.replace("127.0.0.1:9090", f"127.0.0.1:{free_port()}").replace("discovery: true", "jwks_file: keys.json")
    (tmp_path / "config.yaml").write_text(text)
    serve = [sys.executable, "-m", "gateway", "serve", str(tmp_path / "config.yaml")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    passed = [f"--setenv={name}" for name in ("PYTHONPATH", "PATH")]
    process = subprocess.Popen([activate, "--listen", address, *passed, *serve], env=environment, text=True)
    try:
        await eventually(lambda: status_at(f"http://{address}/api/orders") == 401, PATIENCE)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
    assert process.returncode == 0
