"""Beside a sidecar, the application cannot be reached but through the gateway: as the manifests have them."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.app import Gateway
from gateway.config.load import load_text
from tests.clients.processes import PATIENCE
from tests.deploy.rendering import KUSTOMIZE, containers, in_files, only, pods
from tests.issuing import Clock
from tests.minting import NOW, jwks
from tests.ports import free_port
from tests.trips.running import KEY, get, token
from tests.trips.wire import Client, connected, eventually

APP = KUSTOMIZE / "example-app" / "app.py"


@dataclass(frozen=True, slots=True)
class Pod:
    """The two processes of a pod."""

    app: "subprocess.Popen[bytes]"
    app_port: int
    gateway_port: int
    address: str
    """Where others reach the pod."""
    socket: Path


def outside() -> str:
    """Return an address of this machine that is not its loopback address: where others reach it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:
            pytest.skip("this machine has no address but the loopback one")
        address = str(sock.getsockname()[0])
    if address.startswith("127."):
        pytest.skip("this machine has no address but the loopback one")
    return address


@asynccontextmanager
async def pod(name: str, directory: Path) -> AsyncIterator[Pod]:
    """Run the application and the gateway of an example: only ports, directories and the issuer are others."""
    app_port, gateway_port = free_port(), free_port()
    changed = {
        "/run/app": str(directory),
        "127.0.0.1:9000": f"127.0.0.1:{app_port}",
        "0.0.0.0:8080": f"0.0.0.0:{gateway_port}",
        "0.0.0.0:9090": f"127.0.0.1:{free_port()}",
    }
    app = subprocess.Popen(**program(name, changed))
    try:
        loaded = load_text(json.dumps(configuration(name, changed, directory)), {})
        async with Gateway(loaded.config, directory, Clock(NOW)):
            yield Pod(app, app_port, gateway_port, outside(), directory / "app.sock")
    finally:
        app.terminate()
        app.wait(PATIENCE)


def program(name: str, changed: dict[str, str]) -> dict[str, Any]:
    """Return the command of the application, and its environment."""
    [(_, spec)] = pods(in_files(name))
    container = containers(spec)["app"]
    assert container["command"] == ["python3", "/srv/app.py"]
    environment = {each["name"]: other(each["value"], changed) for each in container["env"]}
    return {"args": [sys.executable, str(APP)], "env": {**os.environ, **environment}}


def configuration(name: str, changed: dict[str, str], directory: Path) -> Any:
    text = only(in_files(name), "ConfigMap", "gateway-config")["data"]["config.yaml"]
    config = yaml.safe_load(other(text, changed))
    (directory / "keys.json").write_bytes(jwks(KEY))
    names = {"issuer": "https://gw.example", "audiences": ["https://api.example"]}
    config["authenticators"]["main"] = {"type": "jwt", "jwks_file": "keys.json", **names}
    return {**config, "timeouts": {}, "log": {"level": "error"}}


def other(text: str, changed: dict[str, str]) -> str:
    for old, new in changed.items():
        text = text.replace(old, new)
    return text


def doors(process: "subprocess.Popen[bytes]") -> list[str]:
    """Return the addresses of TCP on which a process listens, as the kernel has them."""
    sockets = set()
    for each in Path(f"/proc/{process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed
            sockets.add(os.readlink(each).removeprefix("socket:[").removesuffix("]"))
    tables = [Path(f"/proc/{process.pid}/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    rows = [row.split() for table in tables for row in table]
    return [row[1].partition(":")[0] for row in rows if row[3] == "0A" and row[9] in sockets]


def is_open(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), PATIENCE).close()
    except ConnectionRefusedError:
        return False
    return True


async def through_the_gateway(found: Pod) -> None:
    """Without a token nobody gets in; with one, the application hears who it is, whatever the client says."""
    async with connected(found.gateway_port) as client:
        assert (await client.ask(get("/orders"))).status == 401
        await eventually_answers(client)
        answer = await client.ask(get("/orders", "X-User: root", bearer=token()))
        assert answer.status == 200
        assert json.loads(answer.body) == {"path": "/orders", "user": "alice"}


async def eventually_answers(client: Client) -> None:
    while (await client.ask(get("/", bearer=token()))).status != 200:
        pass


@pytest.mark.skipif(not Path("/proc/self/net/tcp").exists(), reason="only Linux tells who listens where")
async def test_an_application_at_the_loopback_address_is_reached_through_the_gateway_only(tmp_path: Path) -> None:
    async with pod("sidecar", tmp_path) as found:
        await eventually(lambda: doors(found.app), PATIENCE)
        assert doors(found.app) == ["0100007F"]  # 127.0.0.1
        assert is_open("127.0.0.1", found.app_port)
        assert not is_open(found.address, found.app_port)
        assert is_open(found.address, found.gateway_port)
        await through_the_gateway(found)


@pytest.mark.skipif(not Path("/proc/self/net/tcp").exists(), reason="only Linux tells who listens where")
async def test_an_application_at_a_unix_socket_has_no_other_door(tmp_path: Path) -> None:
    async with pod("sidecar-unix-socket", tmp_path) as found:
        await eventually(found.socket.exists, PATIENCE)
        assert found.socket.stat().st_mode & 0o007 == 0  # for its group, which is the gateway's, and not for others
        assert is_open(found.address, found.gateway_port)
        await through_the_gateway(found)
        assert doors(found.app) == []
