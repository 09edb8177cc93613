import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, UnixConnector, web

from gateway.ops.app import ops_application
from gateway.ops.listen import serve
from gateway.telemetry.health import Health
from gateway.telemetry.metrics import Metrics


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("1.2.3")


@pytest.fixture
async def runner(metrics: Metrics) -> AsyncIterator[web.AppRunner]:
    runner = await serve(ops_application(metrics, Health()), ("127.0.0.1", 0))
    yield runner
    await runner.cleanup()


async def answer_to(runner: web.AppRunner, request: bytes) -> bytes:
    """Send bytes and read until the server closes the connection."""
    host, port = runner.addresses[0]
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_it_listens_on_a_port(runner: web.AppRunner) -> None:
    answer = await answer_to(runner, b"GET /healthz HTTP/1.1\r\nHost: ops\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nServer: gateway\r\n" in answer


async def test_it_listens_on_a_unix_socket(metrics: Metrics, tmp_path: Path) -> None:
    path = tmp_path / "ops.sock"
    runner = await serve(ops_application(metrics, Health()), path)
    async with ClientSession(connector=UnixConnector(str(path))) as session:
        response = await session.get("http://ops/healthz")
        assert response.status == 200
        response.release()
    await runner.cleanup()


async def test_an_address_that_is_taken_is_an_error_and_leaves_nothing_behind(
    runner: web.AppRunner, metrics: Metrics
) -> None:
    host, port = runner.addresses[0]
    with pytest.raises(OSError, match="address already in use"):
        await serve(ops_application(metrics, Health()), (host, port))


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET /metrics HTTP/1.1\r\nHost: ops\r\nAuthorization : Bearer secret\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: ops\r\nAuthorization: Bearer secret" + b"x" * 9000 + b"\r\n\r\n",
        b"GET /secret" + b"x" * 3000 + b" HTTP/1.1\r\nHost: ops\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: ops\r\n" + b"X: secret\r\n" * 100 + b"\r\n",
    ],
    ids=["space before the colon", "long header", "long target", "many headers"],
)
async def test_a_malformed_or_oversized_request_is_neither_echoed_nor_logged(
    runner: web.AppRunner, caplog: pytest.LogCaptureFixture, request_head: bytes
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = await answer_to(runner, request_head)
    assert answer.split(b" ")[1] == b"400"
    assert b"secret" not in answer
    assert b"aiohttp" not in answer
    assert "secret" not in caplog.text


async def test_a_bug_is_logged_and_not_shown(
    runner: web.AppRunner, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    metrics.observe("gateway_upstream_retries_total", lambda: [((), 1)])
    answer = await answer_to(runner, b"GET /metrics HTTP/1.1\r\nHost: ops\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert b"gateway_upstream_retries_total" not in answer
    assert "gateway_upstream_retries_total" in caplog.text


async def test_a_scrape_leaves_no_line_in_the_log(runner: web.AppRunner, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await answer_to(runner, b"GET /metrics HTTP/1.1\r\nHost: ops\r\nConnection: close\r\n\r\n")
    assert not [record for record in caplog.records if record.name.startswith("aiohttp")]


async def test_a_body_that_never_comes_holds_no_connection(runner: web.AppRunner) -> None:
    answer = await answer_to(runner, b"POST /metrics HTTP/1.1\r\nHost: ops\r\nContent-Length: 1000000\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 405 Method Not Allowed\r\n")
