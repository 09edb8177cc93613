import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, UnixConnector, web

from gateway.config.compile_sessions import own_upstream
from gateway.config.compile_upstreams import nobody_inside
from gateway.ops import listen
from gateway.ops.listen import serve


async def show_hello(_: web.Request) -> web.Response:
    return web.Response(text="hello")


async def show_a_bug(_: web.Request) -> web.Response:
    raise RuntimeError("the secret cause")


def application() -> web.Application:
    app = web.Application()
    app.add_routes([web.get("/hello", show_hello), web.get("/bug", show_a_bug)])
    return app


@pytest.fixture
async def runner() -> AsyncIterator[web.AppRunner]:
    runner = await serve(application(), ("127.0.0.1", 0))
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
    answer = await answer_to(runner, b"GET /hello HTTP/1.1\r\nHost: ops\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


async def test_it_listens_on_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "ops.sock"
    runner = await serve(application(), path)
    async with ClientSession(connector=UnixConnector(str(path))) as session:
        response = await session.get("http://ops/hello")
        assert response.status == 200
        response.release()
    await runner.cleanup()


async def test_an_address_that_is_taken_is_an_error_and_leaves_nothing_behind(
    runner: web.AppRunner,
) -> None:
    host, port = runner.addresses[0]
    with pytest.raises(OSError, match="address already in use"):
        await serve(application(), (host, port))


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET /hello HTTP/1.1\r\nHost: ops\r\nAuthorization : Bearer secret\r\n\r\n",
        b"GET /hello HTTP/1.1\r\nHost: ops\r\nAuthorization: Bearer secret" + b"x" * 9000 + b"\r\n\r\n",
        b"GET /secret" + b"x" * 3000 + b" HTTP/1.1\r\nHost: ops\r\n\r\n",
        b"GET /hello HTTP/1.1\r\nHost: ops\r\n" + b"X: secret\r\n" * 100 + b"\r\n",
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


async def test_an_unknown_expectation_is_not_echoed(runner: web.AppRunner) -> None:
    head = b"GET /hello HTTP/1.1\r\nHost: ops\r\nExpect: a secret\r\nConnection: close\r\n\r\n"
    answer = await answer_to(runner, head)
    assert answer.startswith(b"HTTP/1.1 417 Expectation Failed\r\n")
    assert b"secret" not in answer
    assert b"\r\nServer: gateway\r\n" in answer


async def test_a_bug_is_logged_and_not_shown(runner: web.AppRunner, caplog: pytest.LogCaptureFixture) -> None:
    answer = await answer_to(runner, b"GET /bug HTTP/1.1\r\nHost: ops\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert b"\r\nServer: gateway\r\n" in answer
    assert b"secret" not in answer
    assert "the secret cause" in caplog.text


async def test_a_request_leaves_no_line_in_the_log(runner: web.AppRunner, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await answer_to(runner, b"GET /hello HTTP/1.1\r\nHost: ops\r\nConnection: close\r\n\r\n")
    assert not [record for record in caplog.records if record.name.startswith("aiohttp")]


async def test_a_body_that_never_comes_holds_no_connection(runner: web.AppRunner) -> None:
    answer = await answer_to(runner, b"POST /hello HTTP/1.1\r\nHost: ops\r\nContent-Length: 1000000\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 405 Method Not Allowed\r\n")


async def test_a_head_in_drops_holds_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(listen._LIMITS, "keepalive_timeout", 0.5)
    runner = await serve(application(), ("127.0.0.1", 0))
    reader, writer = await asyncio.open_connection(*runner.addresses[0])
    writer.write(b"GET /hello HTTP/1.1\r\nHost: ops\r\n\r\nGET /hello HTTP/1.1\r\nHost: ops\r\n")
    async with asyncio.timeout(20):
        while not reader.at_eof():
            if not writer.is_closing():
                writer.write(b"X: y\r\n")
            try:
                async with asyncio.timeout(0.1):
                    await reader.read(4096)
            except TimeoutError:
                pass
            except ConnectionError:
                break
    writer.transport.abort()
    await runner.cleanup()


def test_the_proxy_closes_an_idle_connection_to_the_gateways_own_routes_long_before_they_do() -> None:
    """A login that comes while a connection is being closed from behind could not be sent again."""
    assert own_upstream(nobody_inside).idle_lifetime <= listen._LIMITS["keepalive_timeout"] / 2


async def test_who_does_not_take_an_answer_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listen, "_READING_SECONDS", 0.2)
    app = web.Application()

    async def show(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * 50_000_000)

    app.add_routes([web.get("/", show)])
    runner = await serve(app, ("127.0.0.1", 0))
    _, writer = await asyncio.open_connection(*runner.addresses[0], limit=1024)
    writer.write(b"GET / HTTP/1.1\r\nHost: ops\r\n\r\n")
    assert runner.server is not None
    async with asyncio.timeout(20):
        while not runner.server.connections:
            await asyncio.sleep(0.01)
        while runner.server.connections:
            await asyncio.sleep(0.01)
    writer.transport.abort()
    await runner.cleanup()


async def test_so_many_connections_and_no_more() -> None:
    runner = await serve(application(), ("127.0.0.1", 0), connections=2)
    opened = [await asyncio.open_connection(*runner.addresses[0]) for _ in range(3)]
    opened[2][1].write(b"GET /hello HTTP/1.1\r\nHost: ops\r\n\r\n")
    with contextlib.suppress(ConnectionError):
        assert await opened[2][0].read() == b""
    opened[0][1].write(b"GET /hello HTTP/1.1\r\nHost: ops\r\n\r\n")
    assert (await opened[0][0].readline()).startswith(b"HTTP/1.1 200")
    for _, writer in opened:
        writer.transport.abort()
    await runner.cleanup()
