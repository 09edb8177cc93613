"""Clients that ask for something and are gone before it is done."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET

import pytest

from tests.state.between import Between, between
from tests.state.redis_servers import server_of
from tests.trips.running import request
from tests.trips.session_running import PassingClock, SessionGateway, preset, serving


@asynccontextmanager
async def slow_store(directory: Path) -> AsyncIterator[tuple[SessionGateway, Between]]:
    with server_of(directory / "redis") as server:
        async with (
            between(server.port) as line,
            serving(
                directory, preset("seed0"), clock=PassingClock(), STATE_URL=f"redis://127.0.0.1:{line.port}"
            ) as gate,
        ):
            yield gate, line


async def hang_up(gate: SessionGateway, path: str, body: dict[str, str], after: float) -> None:
    """Send a request, and reset the connection after some seconds."""
    _, writer = await asyncio.open_connection("127.0.0.1", gate.port)
    writer.write(request("POST", path, "Content-Type: application/json", body=json.dumps(body).encode()))
    await asyncio.sleep(after)
    writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@pytest.mark.parametrize("after", [0.05, 0.15, 0.25])
async def test_a_logout_is_done_also_for_who_does_not_wait(tmp_path: Path, after: float) -> None:
    async with slow_store(tmp_path) as (gate, line):
        pair = await gate.log_in()
        line.delay = 0.1
        await hang_up(gate, "/auth/logout", {"refresh_token": pair["refresh_token"]}, after)
        line.delay = 0.0
        async with asyncio.timeout(20):
            while (await gate.session_of(pair["refresh_token"])).ended is None:
                await asyncio.sleep(0.01)
