"""Sockets that another process hands over, as systemd does."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from gateway.model.upstream import Address, parse_address
from gateway.workers.activation import StrangeSocket, matched, passed_sockets
from tests.clients.echo import echo_running
from tests.trips.running import get

_HAND_OVER = """
import os, socket, sys
config, *addresses = sys.argv[1:]
for place, address in enumerate(addresses):
    host, _, port = address.rpartition(":")
    sock = socket.socket(socket.AF_UNIX) if address.startswith("/") else socket.socket()
    sock.bind(address if address.startswith("/") else (host, int(port)))
    sock.listen(100)
    os.dup2(sock.detach(), 100 + place)
for place in range(len(addresses)):
    os.dup2(100 + place, 3 + place)
    os.set_inheritable(3 + place, True)
    os.close(100 + place)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(addresses)), LISTEN_FDNAMES="web:" + "x:" * 5)
os.execv(sys.executable, [sys.executable, "-m", "gateway", "serve", config])
"""


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


def listening(stack: ExitStack, host: str = "127.0.0.1") -> tuple[socket.socket, Address]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = stack.enter_context(socket.create_server((host, 0), family=family))
    return sock, Address(host=host, port=sock.getsockname()[1])


def test_a_socket_is_known_by_its_bound_address(stack: ExitStack, tmp_path: Path) -> None:
    tcp, address = listening(stack)
    v6, other = listening(stack, "::1")
    unix = stack.enter_context(socket.socket(socket.AF_UNIX))
    unix.bind(str(tmp_path / "s"))
    path = parse_address(f"unix:{tmp_path}/s")
    named = Address(host="localhost", port=address.port)
    assert matched({"a": unix, "b": v6, "c": tcp}, [address, other, path]) == {address: tcp, other: v6, path: unix}
    assert matched({"c": tcp}, [named]) == {named: tcp}


def test_a_socket_that_no_address_names_is_refused_by_name(stack: ExitStack) -> None:
    tcp, address = listening(stack)
    with pytest.raises(StrangeSocket, match=rf"descriptor 3 \(web\) .* {address}: .*\(0\.0\.0\.0:1, unix:/run/x\)"):
        matched({"descriptor 3 (web)": tcp}, [parse_address("0.0.0.0:1"), parse_address("unix:/run/x")])
    with pytest.raises(StrangeSocket, match="second"):
        matched({"first": tcp, "second": tcp}, [address])


@pytest.mark.parametrize("pid", ["1", "", "x"])
def test_what_was_meant_for_another_process_is_not_touched(pid: str) -> None:
    environment = {"LISTEN_PID": pid, "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b", "HOME": "/"}
    assert passed_sockets(environment) == {}
    assert environment == {"HOME": "/"}


def served(directory: Path, addresses: list[str], upstream: str, **changes: object) -> "subprocess.Popen[str]":
    """Start a gateway that listens on the first address, and is handed sockets for all."""
    config = {
        "listen": [{"address": addresses[0]}],
        "upstreams": {"app": {"targets": [upstream]}},
        "routes": [{"id": "all", "match": {"path": "/**"}, "upstream": "app", "access": "public"}],
        "log": {"access": False},
        **changes,
    }
    file = directory / "gateway.yaml"
    file.write_text(yaml.safe_dump(config))
    words = [each.removeprefix("unix:") for each in addresses]
    command = [sys.executable, "-c", _HAND_OVER, str(file), *words]
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_gateway_serves_on_the_sockets_that_it_was_given(tmp_path: Path, workers: int) -> None:
    web, ops = tmp_path / "web.sock", tmp_path / "ops.sock"
    with echo_running() as upstream:
        settings = {"ops": {"address": f"unix:{ops}"}, "workers": workers}
        with served(tmp_path, [f"unix:{web}", f"unix:{ops}"], upstream, **settings) as gateway:
            assert gateway.stderr is not None
            try:
                while '"listening"' not in (line := gateway.stderr.readline()):
                    assert line
                assert b"200 OK" in asked(web, get("/x", "Connection: close"))
                assert b"gateway_requests_total{" in asked(ops, get("/metrics", "Connection: close"))
                assert not any("LISTEN_" in environment_of(pid) for pid in children_of(gateway.pid))
            finally:
                gateway.terminate()
                gateway.communicate(timeout=30)
        assert gateway.returncode == 0
        assert web.is_socket()  # whoever made it keeps it, for the next one to be started


def asked(path: Path, data: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(str(path))
        client.sendall(data)
        with client.makefile("rb") as answer:
            return answer.read()


def children_of(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def environment_of(pid: int) -> str:
    return Path(f"/proc/{pid}/environ").read_text()


def test_a_gateway_that_is_given_a_strange_socket_says_which(tmp_path: Path) -> None:
    web, strange = tmp_path / "web.sock", tmp_path / "strange.sock"
    with served(tmp_path, [f"unix:{web}", f"unix:{strange}"], "http://127.0.0.1:9") as gateway:
        _, errors = gateway.communicate(timeout=30)
    assert gateway.returncode == 1
    assert f"cannot start: descriptor 4 (x) was passed, bound to unix:{strange}: no address of the" in errors
