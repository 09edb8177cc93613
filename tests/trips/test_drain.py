"""Stopping: what is under way finishes, what is idle closes, nothing new is taken."""

import asyncio
import signal
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.trips.certificates import make_authority
from tests.trips.running import get, request, running
from tests.trips.servers import gateway_process
from tests.trips.wire import OK, Cut, UpstreamWire, connected, eventually, upstream


class Gate:
    """An upstream that answers when it is told to."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def script(self, wire: UpstreamWire) -> None:
        while True:
            await wire.request()
            await self.open.wait()
            await wire.send(OK)


async def refuses_connections(port: int) -> None:
    async def is_refused() -> bool:
        try:
            async with connected(port) as client:
                return await client.closed(0.2) == b""
        except (OSError, TimeoutError):
            return True

    await until(is_refused)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(3):
        while not await condition():
            await asyncio.sleep(0.02)


async def test_requests_under_way_finish_and_idle_connections_close(tmp_path: Path) -> None:
    gate = Gate()
    async with upstream(gate.script) as app:
        gateway = running(tmp_path, "", app.url)
        served = await gateway.__aenter__()
        async with connected(served.port) as busy, connected(served.port) as idle, connected(served.port) as fresh:
            gate.open.set()
            assert (await idle.ask(get("/open/x"))).status == 200
            gate.open.clear()
            await busy.send(get("/open/slow"))
            await eventually(lambda: len(app.requests) == 2)
            stopping = asyncio.create_task(gateway.__aexit__(None, None, None))
            assert await idle.closed() == b""
            assert await fresh.closed() == b""
            await refuses_connections(served.port)
            assert not stopping.done()
            gate.open.set()
            answer = await busy.answer()
            assert (answer.status, answer.body, answer.one("Connection")) == (200, b"ok", "close")
            assert await busy.closed() == b""
            await stopping
        assert served.gateway.health.ready().blocked_by == ("draining",)


async def test_an_idle_tls_client_that_does_not_answer_the_close_does_not_delay_the_stop(tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    certificate, key = authority.issue("localhost")
    text = f'listen: [{{address: "127.0.0.1:0", tls: {{certificate: {certificate}, key: {key}}}}}]'

    def ask_and_fall_silent(port: int) -> ssl.SSLSocket:
        tls = authority.client().wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="localhost")
        tls.sendall(get("/open/x"))
        assert tls.recv(1000).startswith(b"HTTP/1.1 200 OK")
        return tls

    async with upstream() as app:
        async with running(tmp_path, text, app.url) as gateway:
            client = await asyncio.to_thread(ask_and_fall_silent, gateway.port)
            began = time.monotonic()
        client.close()
        assert time.monotonic() - began < 4  # not the 30 seconds of `timeouts.body` and `timeouts.drain`


async def test_an_upload_under_way_finishes(tmp_path: Path) -> None:
    async with upstream() as app:
        gateway = running(tmp_path, "", app.url)
        served = await gateway.__aenter__()
        async with connected(served.port) as client:
            await client.send(request("POST", "/open/x", "Content-Length: 10") + b"first")
            await eventually(lambda: app.heads)
            stopping = asyncio.create_task(gateway.__aexit__(None, None, None))
            await asyncio.sleep(0.1)
            await client.send(b"later")
            answer = await client.answer()
            assert (answer.status, answer.one("Connection")) == (200, "close")
            await stopping
        assert app.requests[0].body == b"firstlater"


async def test_pipelined_requests_behind_the_last_answer_are_not_begun(tmp_path: Path) -> None:
    gate = Gate()
    async with upstream(gate.script) as app:
        gateway = running(tmp_path, "", app.url)
        served = await gateway.__aenter__()
        async with connected(served.port) as client:
            await client.send(get("/open/1") + get("/open/2"))
            await eventually(lambda: app.requests)
            stopping = asyncio.create_task(gateway.__aexit__(None, None, None))
            await asyncio.sleep(0.05)
            gate.open.set()
            assert (await client.answer()).one("Connection") == "close"
            assert await client.closed() == b""
            await stopping
        assert [seen.target for seen in app.requests] == ["/open/1"]


async def test_what_takes_longer_than_the_drain_is_cut(tmp_path: Path) -> None:
    async def silent(wire: UpstreamWire) -> None:
        await wire.request()
        await wire.closed()

    async with upstream(silent) as app:
        gateway = running(tmp_path, "timeouts: {drain: 0.2}", app.url)
        served = await gateway.__aenter__()
        async with connected(served.port) as client:
            await client.send(get("/open/slow"))
            await eventually(lambda: app.requests)
            await gateway.__aexit__(None, None, None)
            with pytest.raises(Cut):
                await client.answer()
        await eventually(lambda: app.gone)


async def test_leaving_closes_idle_upstream_connections(tmp_path: Path) -> None:
    async with upstream() as app:
        async with running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
            await client.ask(get("/open/x"))
        await eventually(lambda: app.gone)


@pytest.mark.asyncio(loop_factories=["asyncio"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_process_that_is_told_to_stop_finishes_its_requests(tmp_path: Path, number: signal.Signals) -> None:
    gate = Gate()
    async with upstream(gate.script) as app:
        with gateway_process(tmp_path, "", app.url) as gateway:
            async with connected(gateway.port) as client:
                await client.send(get("/open/slow"))
                await eventually(lambda: app.requests)
                gateway.process.send_signal(number)
                await refuses_connections(gateway.port)
                gate.open.set()
                assert (await client.answer()).body == b"ok"
            assert await asyncio.to_thread(gateway.process.wait, 5) == 0
            assert '"event": "bug"' not in gateway.log.read_text()
            assert "Traceback" not in gateway.log.read_text()
