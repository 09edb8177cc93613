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
from tests.trips.wire import Cut, Gate, UpstreamWire, connected, eventually, upstream


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


async def test_what_takes_longer_than_the_drain_is_refused_and_counted(tmp_path: Path) -> None:
    async def silent(wire: UpstreamWire) -> None:
        await wire.request()
        await wire.closed()

    async with upstream(silent) as app:
        gateway = running(tmp_path, "timeouts: {drain: 0.2}", app.url)
        served = await gateway.__aenter__()
        async with connected(served.port) as client, connected(served.port) as uploading:
            await client.send(get("/open/slow"))
            await uploading.send(request("POST", "/open/slow", "Content-Length: 10") + b"first")
            await eventually(lambda: len(app.heads) == 2)
            await gateway.__aexit__(None, None, None)
            for each in (client, uploading):
                answer = await each.answer()
                assert (answer.status, answer.one("Connection")) == (503, "close")
        assert served.decisions("open") == {"shutting_down": 2}
        await eventually(lambda: len(app.gone) == 2)


async def test_an_answer_under_way_at_the_end_of_the_drain_is_cut(tmp_path: Path) -> None:
    async def half(wire: UpstreamWire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
        await wire.closed()

    async with upstream(half) as app:
        gateway = running(tmp_path, "timeouts: {drain: 0.2}", app.url)
        served = await gateway.__aenter__()
        async with connected(served.port) as client:
            await client.send(get("/open/slow"))
            assert (await client.head()).status == 200
            await gateway.__aexit__(None, None, None)
            with pytest.raises(Cut):
                await client.exactly(10)
        assert served.decisions("open") == {"shutting_down": 1}


def dialled(port: int, data: bytes = b"") -> socket.socket:
    """Return a connection that the kernel has made, and nobody has taken."""
    client = socket.create_connection(("127.0.0.1", port), 10)
    client.sendall(data)
    return client


def heard(client: socket.socket) -> bytes:
    """Return what a server says until it closes."""
    with client, client.makefile("rb") as answer:
        return answer.read()


async def test_connections_that_wait_in_the_queue_are_served(tmp_path: Path) -> None:
    async with upstream() as app:
        gateway = running(tmp_path, "", app.url)
        served = await gateway.__aenter__()
        clients = [dialled(served.port, get("/open/x")) for _ in range(50)]
        await gateway.__aexit__(None, None, None)
        for answer in [heard(client) for client in clients]:
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"Connection: close\r\n" in answer
        assert len(app.requests) == 50


async def test_a_client_in_the_queue_may_send_its_request_a_moment_later(tmp_path: Path) -> None:
    async with upstream() as app:
        gateway = running(tmp_path, "", app.url)
        served = await gateway.__aenter__()
        client = dialled(served.port)
        stopping = asyncio.create_task(gateway.__aexit__(None, None, None))
        await refuses_connections(served.port)
        client.sendall(get("/open/x"))
        await stopping
        assert heard(client).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_a_tls_handshake_in_the_queue_and_one_under_way_succeed(tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    certificate, key = authority.issue("localhost")
    text = f'listen: [{{address: "127.0.0.1:0", tls: {{certificate: {certificate}, key: {key}}}}}]'

    def ask(client: socket.socket) -> bytes:
        with authority.client().wrap_socket(client, server_hostname="localhost") as tls:
            tls.sendall(get("/open/x"))
            return tls.recv(1000)

    async with upstream() as app:
        gateway = running(tmp_path, text, app.url)
        served = await gateway.__aenter__()
        taken = dialled(served.port)
        await asyncio.sleep(0.1)  # the handshake has begun, in so far as the connection was taken
        queued = dialled(served.port)
        stopping = asyncio.create_task(gateway.__aexit__(None, None, None))
        await refuses_connections(served.port)
        await asyncio.sleep(0.3)
        assert not stopping.done()
        answers = await asyncio.gather(asyncio.to_thread(ask, taken), asyncio.to_thread(ask, queued))
        await stopping
        assert [answer[:15] for answer in answers] == [b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK"]


async def test_a_request_that_meets_the_stop_on_an_idle_connection_is_answered(tmp_path: Path) -> None:
    async with upstream() as app:
        gateway = running(tmp_path, "", app.url)
        served = await gateway.__aenter__()
        async with connected(served.port) as early, connected(served.port) as late:
            assert (await early.ask(get("/open/1"))).status == 200
            assert (await late.ask(get("/open/1"))).status == 200
            early.writer.write(get("/open/2"))  # not read yet when the stop begins
            stopping = asyncio.create_task(gateway.__aexit__(None, None, None))
            await refuses_connections(served.port)
            await late.send(get("/open/2"))
            for client in (early, late):
                answer = await client.answer()
                assert (answer.status, answer.one("Connection")) == (200, "close")
            await stopping


async def test_before_the_drain_nothing_changes_but_readiness_for_as_long_as_configured(tmp_path: Path) -> None:
    async with upstream() as app:
        gateway = running(tmp_path, "timeouts: {drain_delay: 30}", app.url)
        served = await gateway.__aenter__()
        async with connected(served.port) as client:
            await client.ask(get("/open/1"))
            stopping = asyncio.create_task(gateway.__aexit__(None, None, None))
            await eventually(lambda: served.gateway.health.ready().blocked_by == ("draining",))
            assert (await client.ask(get("/open/2"))).one("Connection") is None
            async with connected(served.port) as fresh:
                assert (await fresh.ask(get("/open/3"))).one("Connection") is None
                assert (await fresh.ask(get("/open/4"))).status == 200
            served.gateway.haste.skip_delay.set()
            await refuses_connections(served.port)
            await stopping


def streaming(kind: str) -> Callable[[UpstreamWire], Awaitable[None]]:
    """Return the script of an upstream whose answer has no end of its own, or of one that upgrades the connection."""

    async def script(wire: UpstreamWire) -> None:
        head = await wire.head()
        if head.one("Upgrade"):
            await wire.send(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello"
            )
        else:
            await wire.send(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
            await wire.send(b"5\r\nhello\r\n")
        await wire.closed()

    return script


UPGRADE = ("Connection: Upgrade", "Upgrade: websocket")


@pytest.mark.parametrize("kind", ["Text/Event-Stream; charset=utf-8", "websocket"])
async def test_what_has_no_end_of_its_own_ends_before_the_drain_does(tmp_path: Path, kind: str) -> None:
    async with upstream(streaming(kind)) as app:
        gateway = running(tmp_path, "timeouts: {drain: 30, drain_streams: 0.3}", app.url)
        served = await gateway.__aenter__()
        async with connected(served.port) as client:
            await client.send(get("/open/x", *(UPGRADE if kind == "websocket" else ())))
            assert (await client.head()).status in (101, 200)
            stopping = asyncio.create_task(gateway.__aexit__(None, None, None))
            await refuses_connections(served.port)
            said = await client.closed()
            assert b"hello" in said
            assert not said.endswith(b"0\r\n\r\n")  # that would be the end of the answer, and it is a cut
            await stopping
        await eventually(lambda: app.gone)
        assert served.decisions("open") == {"shutting_down": 1}


async def test_a_download_of_unknown_length_goes_on_longer_than_streams_of_events(tmp_path: Path) -> None:
    gate = Gate()

    async def script(wire: UpstreamWire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await gate.open.wait()
        await wire.send(b"0\r\n\r\n")

    async with upstream(script) as app:
        gateway = running(tmp_path, "timeouts: {drain_streams: 0}", app.url)
        served = await gateway.__aenter__()
        async with connected(served.port) as client:
            await client.send(get("/open/x"))
            head = await client.head()
            stopping = asyncio.create_task(gateway.__aexit__(None, None, None))
            await refuses_connections(served.port)
            await asyncio.sleep(0.3)
            gate.open.set()
            assert await client.body(head, to_the_end=True) == b"hello"
            await stopping


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


@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_ctrl_c_skips_the_delay_and_a_second_signal_ends_what_is_under_way(tmp_path: Path) -> None:
    gate = Gate()
    async with upstream(gate.script) as app:
        with gateway_process(tmp_path, "timeouts: {drain_delay: 60, drain: 60}", app.url) as gateway:
            async with connected(gateway.port) as client:
                await client.send(get("/open/slow"))
                await eventually(lambda: app.requests)
                gateway.process.send_signal(signal.SIGINT)
                await refuses_connections(gateway.port)
                gateway.process.send_signal(signal.SIGTERM)
                assert (await client.answer()).status == 503
            assert await asyncio.to_thread(gateway.process.wait, 20) == 0
