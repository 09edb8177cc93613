"""`gateway health` says how a gateway that runs is, without reading more of its configuration than where to ask."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli import main
from tests.ports import free_port
from tests.trips.running import running
from tests.trips.wire import eventually

ROOT = Path(__file__).parents[2]
Captured = pytest.CaptureFixture[str]


def config(directory: Path, address: str) -> str:
    file = directory / "config.yaml"
    file.write_text(f'ops: {{address: "{address}"}}\n')
    return str(file)


async def health(*words: str) -> int:
    """Run the command beside the gateway, which is on the loop of the test."""
    return await asyncio.to_thread(main, ["health", *words])


@pytest.mark.parametrize("state", ["ready", "live", "started"])
async def test_a_gateway_that_runs_is_well(tmp_path: Path, capsys: Captured, state: str) -> None:
    ops = f"127.0.0.1:{free_port()}"
    async with running(tmp_path, f'ops: {{address: "{ops}"}}'):
        assert await health(config(tmp_path, ops), "--is", state) == 0
    assert capsys.readouterr().out == f"{state}\n"


async def test_one_that_drains_lives_and_is_not_ready(tmp_path: Path, capsys: Captured) -> None:
    ops = f"127.0.0.1:{free_port()}"
    async with running(tmp_path, f'ops: {{address: "{ops}"}}') as gateway:
        gateway.gateway.health.drain()
        assert await health("--address", ops) == 1
        assert capsys.readouterr().err == "not ready: draining\n"
        assert await health("--address", ops, "--is", "live") == 0


async def test_it_asks_at_a_unix_socket(tmp_path: Path, capsys: Captured) -> None:
    ops = f"unix:{tmp_path}/ops.sock"
    async with running(tmp_path, f'ops: {{address: "{ops}"}}'):
        assert await health(config(tmp_path, ops)) == 0
    assert await health(config(tmp_path, ops)) == 1
    assert capsys.readouterr().err.startswith(f"nobody can say: {ops}: ")


@pytest.mark.parametrize("everywhere", ["0.0.0.0", ""])
async def test_where_all_of_the_host_is_bound_it_asks_at_the_loopback(tmp_path: Path, everywhere: str) -> None:
    port = free_port()
    async with running(tmp_path, f'ops: {{address: "127.0.0.1:{port}"}}'):
        assert await health(config(tmp_path, f"{everywhere}:{port}")) == 0


async def test_mistakes_elsewhere_in_the_file_end_no_gateway(tmp_path: Path) -> None:
    ops = f"127.0.0.1:{free_port()}"
    async with running(tmp_path, f'ops: {{address: "{ops}"}}'):
        file = tmp_path / "config.yaml"
        file.write_text(f'ops: {{address: "${{OPS:-{ops}}}"}}\nroutes: ["${{NOT_SET}}"]\nno_setting: 1\n')
        assert await health(str(file)) == 0


def test_nobody_there_is_told(tmp_path: Path, capsys: Captured) -> None:
    ops = f"127.0.0.1:{free_port()}"
    assert main(["health", config(tmp_path, ops)]) == 1
    assert capsys.readouterr().err == f"nobody can say: {ops}: Connection refused\n"


def test_silence_is_told(tmp_path: Path, capsys: Captured) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        ops = f"127.0.0.1:{silent.getsockname()[1]}"
        assert main(["health", config(tmp_path, ops), "--timeout", "0.1"]) == 1
    assert capsys.readouterr().err == f"nobody can say: {ops}: no answer in time\n"


async def test_another_server_is_not_taken_for_a_gateway(tmp_path: Path, capsys: Captured) -> None:
    async with running(tmp_path) as gateway:
        assert await health("--address", f"127.0.0.1:{gateway.port}") == 1
    assert capsys.readouterr().err.endswith("is not a gateway\n")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("listen: []", "has no ops.address to ask; set one, or say --address"),
        ("ops: {address: here}", 'ops.address: "here" is not an address'),
        ("ops: [", "not valid YAML"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_it_says_why_it_does_not_know_where_to_ask(
    tmp_path: Path, capsys: Captured, text: str | None, told: str
) -> None:
    file = tmp_path / "config.yaml"
    if text is not None:
        file.write_text(text)
    assert main(["health", str(file)]) == 1
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--address", "here"], ["--timeout", "0"], ["--timeout", "soon"]])
def test_what_cannot_be_meant_is_wrong_usage(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["health", *words])
    assert ended.value.code == 2


async def test_the_command_follows_the_life_of_a_process(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        f"""\
listen: [{{address: "127.0.0.1:{free_port()}"}}]
ops: {{address: "127.0.0.1:{free_port()}"}}
upstreams: {{app: {{targets: ["http://127.0.0.1:9"]}}}}
routes: [{{id: all, match: {{path: /**}}, upstream: app, access: public}}]
timeouts: {{drain_delay: 1h}}
"""
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    gateway = subprocess.Popen([sys.executable, "-m", "gateway", "serve", str(file)], env=environment)
    try:
        await eventually(lambda: main(["health", str(file)]) == 0, 30)
        gateway.send_signal(signal.SIGTERM)
        await eventually(lambda: main(["health", str(file)]) == 1, 30)
        assert main(["health", str(file), "--is", "live"]) == 0
        asked = subprocess.run(
            [sys.executable, "-m", "gateway", "health", str(file)], env=environment, capture_output=True, check=False
        )
        assert (asked.returncode, asked.stderr) == (1, b"not ready: draining\n")
    finally:
        gateway.kill()
        gateway.wait(30)
    assert main(["health", str(file), "--is", "live"]) == 1
