"""slowhttptest against a gateway process: whatever it holds on to, honest clients are served."""

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import aiohttp
import pytest
import yaml

from tests.ports import free_port
from tests.trips.servers import gateway_process, nginx_running, required

SECONDS = 4
ATTACKS = 5
"""On a machine that is too busy, an attacker may not get to its connections."""
PLACES = 200
CONNECTIONS = 400
"""Of the attacker: more than there are places, but not so many a second that a busy machine takes all at once."""
RATE = 110
SETTINGS = {
    "limits": {"connections": PLACES, "body_rate": 10_000},
    "timeouts": {"open": 1, "head": 1, "body": 1, "keep_alive": 2},
    "log": {"level": "warning", "access": False},
}
SERVER = """
location / { return 200 "ok"; }
location /open/big { alias %s; }
"""


@dataclass(frozen=True)
class Target:
    port: int
    ops: int


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    required("slowhttptest")
    directory = tmp_path_factory.mktemp("slow")
    big = directory / "big"
    big.write_bytes(b"x" * 4_000_000)
    with ExitStack() as stack:
        url = stack.enter_context(nginx_running(directory, SERVER % big))
        ops = free_port()
        text = yaml.safe_dump({**SETTINGS, "ops": {"address": f"127.0.0.1:{ops}"}})
        gateway = stack.enter_context(gateway_process(directory, text, url))
        yield Target(gateway.port, ops)


@pytest.mark.parametrize(
    ("mode", "what"),
    [
        (("-H", "-i", "1", "-x", "10"), "open/x"),
        (("-B", "-i", "1", "-x", "10", "-s", "8192"), "open/x"),
        (("-R", "-a", "1", "-b", "500"), "open/big"),
        (("-X", "-n", "1", "-z", "5", "-w", "10", "-y", "20", "-k", "3"), "open/big"),
    ],
    ids=["slow headers", "slow body", "range", "slow read"],
)
async def test_honest_clients_are_served_as_ever(target: Target, mode: tuple[str, ...], what: str) -> None:
    numbers = ("-c", str(CONNECTIONS), "-r", str(RATE), "-l", str(SECONDS), "-p", "5")
    command = [required("slowhttptest"), *mode, *numbers, "-u", f"http://127.0.0.1:{target.port}/{what}"]
    for _ in range(ATTACKS):
        accepted = await accepted_by(target)
        statuses = await statuses_during(command, target)
        assert set(statuses) == {200}
        if await accepted_by(target) - accepted > PLACES + len(statuses) / 2:
            return
    pytest.fail("there was no attack: this machine is too slow for one")


async def statuses_during(attack: list[str], target: Target) -> list[int]:
    """Return what honest clients are answered for as long as an attack goes on: those that come back, and new ones."""
    attacker = await asyncio.create_subprocess_exec(
        *attack, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    statuses = []
    try:
        async with aiohttp.ClientSession() as returning:
            while attacker.returncode is None:
                async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as new:
                    for session in (new, returning):
                        async with session.get(f"http://127.0.0.1:{target.port}/open/x") as answer:
                            statuses.append(answer.status)
                await asyncio.sleep(0.02)
    finally:
        if attacker.returncode is None:
            attacker.kill()
        await attacker.wait()
    return statuses


async def accepted_by(target: Target) -> float:
    """Return how many connections the gateway has accepted."""
    async with aiohttp.ClientSession() as ops, ops.get(f"http://127.0.0.1:{target.ops}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    name = "gateway_client_connections_accepted_total "
    return next(float(line.removeprefix(name)) for line in lines if line.startswith(name))
