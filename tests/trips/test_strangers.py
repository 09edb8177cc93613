"""The gateway's own routes are open to strangers: what those can do to the others."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from gateway.config.compile_upstreams import UpstreamSpec
from tests.trips.session_running import PASSWORD, SessionGateway, preset, serving
from tests.trips.wire import connected

FORM = f"username=alice&password={PASSWORD.replace(' ', '+')}".encode()
HEAD = b"POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[SessionGateway]:
    async with serving(tmp_path, preset("seed0")) as gate:
        yield gate


async def test_bodies_that_never_end_keep_nobody_from_logging_in(gate: SessionGateway) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(UpstreamSpec("x", ()).connections + 10):
            slow = await stack.enter_async_context(connected(gate.port))
            await slow.send(HEAD + b"Content-Length: 100\r\n\r\nusername=")
        await gate.log_in()


@pytest.mark.parametrize("size", [1, 7, len(FORM)])
async def test_a_body_in_pieces_arrives_whole(gate: SessionGateway, size: int) -> None:
    async with connected(gate.port) as client:
        await client.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        for start in range(0, len(FORM), size):
            piece = FORM[start : start + size]
            await client.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        assert (await client.ask(b"0\r\n\r\n")).status == 200


async def test_who_asks_before_sending_a_body_is_told_to(gate: SessionGateway) -> None:
    async with connected(gate.port) as client:
        head = HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(FORM)
        assert (await client.ask(head)).status == 100
        assert (await client.ask(FORM)).status == 200


async def test_a_body_is_not_gathered_beyond_its_bound(gate: SessionGateway) -> None:
    async with connected(gate.port) as client:
        chunk = b"4000\r\n" + b"a" * 0x4000 + b"\r\n"
        assert (await client.ask(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 5)).status == 413
