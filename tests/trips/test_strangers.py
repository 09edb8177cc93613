"""The gateway's own routes are open to strangers: what those can do to the others."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.config.compile import UpstreamSpec
from tests.trips.running import request
from tests.trips.session_running import PASSWORD, SessionGateway, json_of, preset, serving
from tests.trips.wire import connect

FORM = f"username=alice&password={PASSWORD.replace(' ', '+')}".encode()
HEAD = b"POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[SessionGateway]:
    async with serving(tmp_path, preset("seed0")) as gate:
        yield gate


async def test_bodies_that_never_end_keep_nobody_from_logging_in(gate: SessionGateway) -> None:
    slow = [await connect(gate.port) for _ in range(UpstreamSpec.connections + 10)]
    for wire in slow:
        await wire.send(HEAD + b"Content-Length: 100\r\n\r\nusername=")
    async with asyncio.timeout(3):
        await gate.log_in()
    for wire in slow:
        await wire.close()


@pytest.mark.parametrize("pieces", [1, 7, len(FORM)])
async def test_a_body_in_pieces_arrives_whole(gate: SessionGateway, pieces: int) -> None:
    wire = await connect(gate.port)
    await wire.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    size = -(-len(FORM) // pieces)
    for start in range(0, len(FORM), size):
        piece = FORM[start : start + size]
        await wire.send(b"%x\r\n%b\r\n" % (len(piece), piece))
    await wire.send(b"0\r\n\r\n")
    assert (await wire.read()).status == 200
    await wire.close()


async def test_who_asks_first_is_told_to_send_the_body(gate: SessionGateway) -> None:
    wire = await connect(gate.port)
    await wire.send(HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(FORM))
    assert (await wire.read()).status == 100
    await wire.send(FORM)
    assert (await wire.read()).status == 200
    await wire.close()


async def test_a_body_is_not_gathered_beyond_its_bound(gate: SessionGateway) -> None:
    wire = await connect(gate.port)
    await wire.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    await wire.send((b"4000\r\n" + b"a" * 0x4000 + b"\r\n") * 5)
    assert (await wire.read()).status == 413
    await wire.close()
