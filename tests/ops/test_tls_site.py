"""A listener with TLS for aiohttp applications."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from aiohttp import web

from gateway.model.upstream import Address
from gateway.ops.listen import serve
from gateway.proxy.listener import listening_socket
from tests.trips.certificates import Authority, make_authority
from tests.trips.wire import PATIENCE, Client, Cut, connected, eventually

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def show_hello(_: web.Request) -> web.Response:
    return web.Response(text="hello")


class Served:
    def __init__(self, runner: web.AppRunner, authority: Authority, tls: ssl.SSLContext) -> None:
        self.runner = runner
        self.authority = authority
        self.tls = tls
        self.port: int

    async def hello(self) -> bytes:
        async with connected(self.port, self.authority.client()) as client:
            return (await client.ask(GET)).body


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    app = web.Application()
    app.router.add_get("/", show_hello)
    authority = make_authority(tmp_path)
    sock = listening_socket(Address("127.0.0.1", 0))
    port = sock.getsockname()[1]
    self = Served(None, authority, authority.server())  # type: ignore[arg-type]
    self.runner, self.port = await serve(app, sock, connections=3, tls=lambda: self.tls), port
    yield self
    await self.runner.cleanup()


async def test_it_answers(served: Served) -> None:
    assert await served.hello() == b"hello"


async def test_each_handshake_takes_what_is_in_use_then(served: Served, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    served.authority = make_authority(tmp_path / "other")
    with pytest.raises(ssl.SSLError):
        await served.hello()
    served.tls = served.authority.server()
    assert await served.hello() == b"hello"


@pytest.mark.parametrize("data", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01"])
async def test_what_is_no_handshake_ends(served: Served, monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr("gateway.ops.tls_site._PATIENCE", 0.2)
    async with connected(served.port) as client:
        await client.send(data)
        await client.closed()
    assert await served.hello() == b"hello"


async def test_handshakes_count_as_connections(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or whoever begins many of them, and none to its end, would take the files of the whole gateway."""
    monkeypatch.setattr("gateway.ops.tls_site._PATIENCE", 1.0)
    async with connected(served.port), connected(served.port), connected(served.port):
        await eventually(lambda: _handshakes(served) == 3)
        await eventually(lambda: _handshakes(served) == 0)
    assert await served.hello() == b"hello"


async def test_who_cannot_end_a_handshake_keeps_nobody_out(served: Served) -> None:
    async with connected(served.port) as first, connected(served.port) as second, connected(served.port):
        await eventually(lambda: _handshakes(served) == 3)
        assert await served.hello() == b"hello"
        assert await first.closed() == b""
        assert await second.silent()


async def test_a_flood_of_handshakes_holds_no_more_than_there_may_be(served: Served) -> None:
    loop = asyncio.get_running_loop()
    with ExitStack() as flood:  # at once: nothing is taken in between
        socks = [flood.enter_context(socket.create_connection(("127.0.0.1", served.port))) for _ in range(40)]
        for sock in socks:
            sock.setblocking(False)
        for sock in socks[:37]:
            assert await asyncio.wait_for(loop.sock_recv(sock, 1), PATIENCE) == b""
        await eventually(lambda: _handshakes(served) == 3)
        assert await served.hello() == b"hello"


async def test_connections_and_handshakes_count_together(served: Served) -> None:
    tls = served.authority.client()
    async with connected(served.port, tls) as one, connected(served.port, tls), connected(served.port) as waiting:
        assert (await one.ask(GET)).body == b"hello"
        await eventually(lambda: _handshakes(served) == 1)
        async with connected(served.port) as newcomer:
            assert await waiting.closed() == b""
            assert await newcomer.silent()


async def test_connections_count_and_do_not_have_to_go(served: Served) -> None:
    tls = served.authority.client()
    async with connected(served.port, tls) as one, connected(served.port, tls) as two, connected(served.port, tls):
        assert (await one.ask(GET)).body == b"hello"
        with pytest.raises((Cut, OSError)):
            await served.hello()
        assert (await two.ask(GET)).body == b"hello"


def _handshakes(served: Served) -> int:
    [site] = served.runner.sites
    return len(site._handshakes)  # type: ignore[attr-defined]


async def test_the_end_waits_for_no_handshake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.ops.tls_site._PATIENCE", 3600.0)
    authority = make_authority(tmp_path)
    sock = listening_socket(Address("127.0.0.1", 0))
    port, tls = sock.getsockname()[1], authority.server()
    runner = await serve(web.Application(), sock, tls=lambda: tls)
    async with connected(port) as client, connected(port, authority.client()) as served:
        await asyncio.wait_for(runner.cleanup(), 10)
        for each in (client, served):
            await each.closed()
    with pytest.raises(ConnectionRefusedError):
        async with connected(port):
            pass


async def test_without_files_it_waits_and_goes_on(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("gateway.ops.tls_site._NO_FILES", 0.05)
    [site] = served.runner.sites
    real, failures = site._sock, iter([OSError(24, "Too many open files")])  # type: ignore[attr-defined]

    class Poor:
        def accept(self) -> object:
            for failure in failures:
                raise failure
            return real.accept()

        def __getattr__(self, name: str) -> object:
            return getattr(real, name)

    site._sock = Poor()  # type: ignore[attr-defined]
    assert await served.hello() == b"hello"
    assert [record.message for record in caplog.records] == ["no connection can be taken"]


async def test_a_unix_socket_can_have_tls(tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    app = web.Application()
    app.router.add_get("/", show_hello)
    path, tls = str(tmp_path / "admin.sock"), authority.server()
    runner = await serve(app, listening_socket(Address(path=path)), tls=lambda: tls)
    reader, writer = await asyncio.open_unix_connection(path, ssl=authority.client(), server_hostname="localhost")
    client = Client(reader, writer)
    assert (await client.ask(GET)).body == b"hello"
    await client.close()
    await runner.cleanup()
