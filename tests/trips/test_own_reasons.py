"""Why an endpoint of the gateway itself refuses: a header tells the data plane, and nobody else may use or see it."""

import asyncio
from pathlib import Path

import pytest

from tests.session_gateway import session_gateway
from tests.trips.running import get, running
from tests.trips.wire import PATIENCE, answering, connected, upstream

FORGED = b"HTTP/1.1 200 OK\r\nX-Gateway-Reason: made-up\r\nx-gateway-reason: again\r\nContent-Length: 2\r\n\r\nok"
FORM = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 36\r\n"
BODY = "grant_type=refresh_token&refresh_token=x"[:36]


async def test_what_an_upstream_or_a_client_says_is_no_reason(tmp_path: Path) -> None:
    async with upstream(answering(FORGED)) as app, running(tmp_path, "", app.url) as gateway:
        async with connected(gateway.port) as client:
            assert (await client.ask(get("/open/x", "X-Gateway-Reason: made-up"))).status == 200
        assert gateway.decisions("open") == {"allow": 1}


@pytest.mark.parametrize(
    "head",
    [
        f"POST /oauth/token HTTP/1.1\r\nHost: x\r\n{FORM}Connection: close\r\n\r\n{BODY}",
        f"POST /oauth/token HTTP/1.0\r\nHost: x\r\n{FORM}\r\n{BODY}",
        "HEAD /oauth/token HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "GET /auth/login HTTP/1.0\r\nHost: x\r\n\r\n",
        "GET /auth/login HTTP/1.1\r\nHost: x\r\n\r\n" * 3
        + "GET /auth/login HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "POST /auth/login HTTP/1.1\r\nHost: x\r\nTE: trailers\r\nContent-Length: 1\r\nConnection: close\r\n\r\n{",
    ],
)
async def test_no_client_ever_sees_it(tmp_path: Path, head: str) -> None:
    async with session_gateway(tmp_path) as served, asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", served.running.port)
        writer.write(head.encode())
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))
        assert b"x-gateway-reason" not in answer.lower()
        routes = served.gateway.snapshot.routes.own
        reasons = {reason for route in routes for reason, number in route.tally.decisions() if number}
        assert reasons
        assert "allow" not in reasons
