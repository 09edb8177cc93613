import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from gateway.ops import pages
from gateway.ops.pages import Page, PageServer, Sheet


async def show_hello(accept: str) -> Sheet:
    return Sheet(200, f"hello {accept}\n".encode())


async def show_a_bug(_: str) -> Sheet:
    raise RuntimeError("the secret cause")


PAGES: dict[str, Page] = {"/hello": show_hello, "/bug": show_a_bug}
HELLO = b"GET /hello HTTP/1.1\r\nHost: ops\r\n"


@pytest.fixture
async def server() -> AsyncIterator[PageServer]:
    server = await PageServer.listening(PAGES, ("127.0.0.1", 0))
    yield server
    await server.cleanup()


async def opened(server: PageServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = server.addresses[0]
    return await asyncio.open_connection(host, port, limit=1024)


async def answer_to(server: PageServer, request: bytes) -> bytes:
    """Send bytes and read until the server closes the connection."""
    reader, writer = await opened(server)
    writer.write(request)
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_it_listens_on_a_port(server: PageServer) -> None:
    answer = await answer_to(server, HELLO + b"Accept: text/plain\r\nAccept: */*\r\nConnection: close\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *fields = head.split(b"\r\n")
    assert first == b"HTTP/1.1 200 OK"
    assert body == b"hello text/plain, */*\n"
    found = dict(field.split(b": ", 1) for field in fields)
    assert parsedate_to_datetime(found.pop(b"Date").decode()).tzinfo is not None
    assert found == {
        b"Content-Type": b"text/plain; charset=utf-8",
        b"Content-Length": b"22",
        b"Cache-Control": b"no-store",
        b"Server": b"gateway",
        b"Connection": b"close",
    }


async def test_it_listens_on_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "ops.sock"
    server = await PageServer.listening(PAGES, path)
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(HELLO + b"\r\n")
    assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
    writer.transport.abort()
    await server.cleanup()


async def test_an_address_that_is_taken_is_an_error_and_leaves_nothing_behind(server: PageServer) -> None:
    with pytest.raises(OSError, match="address already in use"):
        await PageServer.listening(PAGES, server.addresses[0])


async def test_a_connection_is_used_again_also_for_what_comes_at_once(server: PageServer) -> None:
    reader, writer = await opened(server)
    for together in (1, 3, 2):
        writer.write((HELLO + b"\r\n") * together)
        for _ in range(together):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
            assert await reader.readline() == b"hello \n"
    writer.transport.abort()


async def test_clients_of_http_1_0_get_one_answer(server: PageServer) -> None:
    assert (await answer_to(server, b"GET /hello HTTP/1.0\r\n\r\n")).endswith(b"hello \n")


async def test_who_has_sent_all_it_has_to_say_gets_its_answer(server: PageServer) -> None:
    reader, writer = await opened(server)
    writer.write(HELLO + b"\r\n")
    writer.write_eof()
    assert (await reader.read()).endswith(b"hello \n")
    writer.close()
    await writer.wait_closed()


async def test_an_offer_to_upgrade_is_not_taken(server: PageServer) -> None:
    answer = await answer_to(server, HELLO + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET /hello HTTP/1.1\r\nHost: ops\r\nAuthorization : Bearer secret\r\n\r\n",
        HELLO + b"Authorization: Bearer secret" + b"x" * 9000 + b"\r\n\r\n",
        HELLO + b"Authorization: Bearer secret" + b"x" * 9000,
        b"GET /secret" + b"x" * 9000 + b" HTTP/1.1\r\nHost: ops\r\n\r\n",
        HELLO + b"X: secret\r\n" * 100 + b"\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"secret\r\n\r\n",
    ],
    ids=["space before the colon", "long header", "no end", "long target", "many headers", "HTTP/2", "nonsense"],
)
async def test_a_malformed_or_oversized_request_is_neither_echoed_nor_logged(
    server: PageServer, caplog: pytest.LogCaptureFixture, request_head: bytes
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = await answer_to(server, request_head)
    assert answer.split(b" ")[1] == b"400"
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"secret" not in answer
    assert "secret" not in caplog.text


async def test_a_bug_is_logged_and_not_shown(server: PageServer, caplog: pytest.LogCaptureFixture) -> None:
    answer = await answer_to(server, b"GET /bug HTTP/1.1\r\nHost: ops\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert b"secret" not in answer
    assert "the secret cause" in caplog.text


@pytest.mark.parametrize("content", [b"Content-Length: 1000000\r\n", b"Transfer-Encoding: chunked\r\n"])
async def test_a_body_that_never_comes_holds_no_connection(server: PageServer, content: bytes) -> None:
    answer = await answer_to(server, b"POST /hello HTTP/1.1\r\nHost: ops\r\n" + content + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 405 Method Not Allowed\r\n")


async def test_a_head_in_drops_holds_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "PATIENCE", 0.5)
    server = await PageServer.listening(PAGES, ("127.0.0.1", 0))
    reader, writer = await opened(server)
    writer.write(HELLO + b"\r\n" + HELLO)
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
    await server.cleanup()


@pytest.mark.parametrize("connection", [b"", b"Connection: close\r\n"])
@pytest.mark.parametrize("size", [50_000_000, 8_000_000])
async def test_who_does_not_take_an_answer_is_cut(
    monkeypatch: pytest.MonkeyPatch, connection: bytes, size: int
) -> None:
    monkeypatch.setattr(pages, "READING", 0.2)
    monkeypatch.setattr(pages, "PATIENCE", 0.2)

    async def show(_: str) -> Sheet:
        return Sheet(200, b"x" * size)

    server = await PageServer.listening({"/hello": show}, ("127.0.0.1", 0))
    _, writer = await opened(server)
    writer.write(HELLO + connection + b"\r\n")
    async with asyncio.timeout(20):
        while not server.connections:
            await asyncio.sleep(0.01)
        while server.connections:
            await asyncio.sleep(0.01)
    writer.transport.abort()
    await server.cleanup()


async def test_so_many_connections_and_no_more() -> None:
    server = await PageServer.listening(PAGES, ("127.0.0.1", 0), connections=2)
    connections = [await opened(server) for _ in range(3)]
    connections[2][1].write(HELLO + b"\r\n")
    with contextlib.suppress(ConnectionError):
        assert await connections[2][0].read() == b""
    connections[0][1].write(HELLO + b"\r\n")
    assert (await connections[0][0].readline()).startswith(b"HTTP/1.1 200")
    for _, writer in connections:
        writer.transport.abort()
    await server.cleanup()


async def test_the_end_waits_for_an_answer_under_way_but_not_for_ever() -> None:
    asked, shown = asyncio.Event(), asyncio.Event()

    async def show(_: str) -> Sheet:
        asked.set()
        await shown.wait()
        return Sheet(200, b"late\n")

    async def never(_: str) -> Sheet:
        await asyncio.Event().wait()
        raise AssertionError

    server = await PageServer.listening({"/hello": show, "/never": never}, ("127.0.0.1", 0))
    reader, writer = await opened(server)
    idle, waiting = await opened(server), await opened(server)
    waiting[1].write(b"GET /never HTTP/1.1\r\nHost: ops\r\n\r\n")
    writer.write(HELLO + b"\r\n")
    await asked.wait()
    ending = asyncio.create_task(server.cleanup())
    assert await idle[0].read() == b""
    shown.set()
    assert (await reader.read()).endswith(b"late\n")
    await ending
    for each in (writer, idle[1], waiting[1]):
        each.transport.abort()
