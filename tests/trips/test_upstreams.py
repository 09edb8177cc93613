"""Upstreams that close, lie, stall or are not there, several of them, and other ways to reach them."""

import asyncio
import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.trips.certificates import make_authority
from tests.trips.running import get, request, reserved_port, running, token
from tests.trips.servers import curl
from tests.trips.wire import OK, Cut, Script, UpstreamWire, answering, ask, connected, eventually, upstream

HEAD_OF_TEN = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"


def saying(*pieces: bytes, then_close: bool = True, reset: bool = False) -> Script:
    """Return a script that reads one request, says something, and closes."""

    async def script(wire: UpstreamWire) -> None:
        await wire.request()
        for piece in pieces:
            await wire.send(piece)
            await asyncio.sleep(0.02)
        if reset:
            wire.reset()
        elif not then_close:
            await wire.closed()

    return script


# --- cut answers


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize(
    "answer",
    [
        HEAD_OF_TEN + b"half",
        HEAD_OF_TEN,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n",
    ],
    ids=["length", "no byte", "chunks", "in a chunk", "before the end", "bad chunk"],
)
@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_a_truncated_answer_is_seen_to_be_cut(tmp_path: Path, answer: bytes, reset: bool, version: str) -> None:
    """RFC 9112 §8. An HTTP/1.0 client of a chunked answer can only see a reset."""
    async with (
        upstream(saying(answer, reset=reset)) as app,
        running(tmp_path, "", app.url) as gateway,
        connected(gateway.port) as client,
    ):
        data = get("/open/x").replace(b"HTTP/1.1", f"HTTP/{version}".encode())
        with pytest.raises(Cut):
            await client.ask(data)
        assert app.connections == 1  # never asked again: the answer had begun
        await eventually(lambda: gateway.decisions("open"))
        reasons = set(gateway.decisions("open"))
        assert reasons <= {"upstream_closed", "upstream_malformed"}
        assert gateway.pool() == {"busy": 0, "idle": 0}


async def test_an_answer_to_the_end_that_is_reset_is_seen_to_be_cut(tmp_path: Path) -> None:
    script = saying(b"HTTP/1.1 200 OK\r\n\r\nhalf", reset=True)
    async with upstream(script) as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        with pytest.raises(Cut):
            await client.ask(get("/open/x"))


GARBAGE = {
    "no HTTP": b"hello\r\n\r\n",
    "a banner": b"SSH-2.0-OpenSSH_9.0\r\n",
    "HTTP/2": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/0.9": b"HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n",
    "a status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    "a status below 100": b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
    "two Content-Lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "Content-Length and Transfer-Encoding": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "a bad Content-Length": b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    "another transfer coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "obs-fold": b"HTTP/1.1 200 OK\r\nX-A: 1\r\n folded\r\nContent-Length: 0\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "NUL in a value": b"HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 0\r\n\r\n",
    "an endless head": b"HTTP/1.1 200 OK\r\n" + b"X-A: " + b"a" * 70_000,
    "an endless row of interim answers": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 40,
    "a switch that nobody asked for": b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
    "a bare 101": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-",
}


@pytest.mark.parametrize("answer", GARBAGE.values(), ids=GARBAGE.keys())
async def test_garbage_is_a_bad_gateway(tmp_path: Path, answer: bytes) -> None:
    closes = not answer or answer.endswith(b"Content-")
    async with (
        upstream(saying(answer, then_close=closes)) as app,
        running(tmp_path, "", app.url) as gateway,
        connected(gateway.port) as client,
    ):
        await client.send(get("/open/x"))
        while (seen := await client.answer()).status == 103:
            pass
        assert seen.status == 502
        assert seen.one("Cache-Control") == "no-store"
        assert json.loads(seen.body)["error"] == "bad_gateway"
        await eventually(lambda: app.gone)
        assert gateway.pool() == {"busy": 0, "idle": 0}
        assert app.connections == 1
        await client.send(get("/nowhere"))  # the client's connection is none the worse
        assert (await client.answer()).status == 404


# --- bytes that nobody asked for


@pytest.mark.parametrize("extra", [OK, b"HTTP/1.1 200 OK\r\n", b"x", b"\r\n\r\nx"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_connection_with_a_second_answer_is_never_used_again(tmp_path: Path, extra: bytes, method: str) -> None:
    """Otherwise the next caller would get what was meant for another."""
    answer = (OK if method == "GET" else OK[:-2]) + extra
    async with (
        upstream(answering(answer)) as app,
        running(tmp_path, "", app.url) as gateway,
        connected(gateway.port) as client,
    ):
        for _ in range(3):
            assert (await client.ask(request(method, "/open/x"))).status == 200
        assert app.connections == 3


async def test_an_idle_connection_that_speaks_is_closed(tmp_path: Path) -> None:
    async def script(wire: UpstreamWire) -> None:
        await wire.request()
        await wire.send(OK)
        await asyncio.sleep(0.05)
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
        await wire.closed()

    async with upstream(script) as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        assert (await client.ask(get("/open/x"))).body == b"ok"
        await eventually(lambda: app.gone)
        assert gateway.pool() == {"busy": 0, "idle": 0}
        assert (await client.ask(get("/open/x"))).body == b"ok"
        assert app.connections == 2


async def test_an_idle_connection_is_closed_after_its_lifetime(tmp_path: Path) -> None:
    async with (
        upstream() as app,
        running(tmp_path, "app: {idle_lifetime: 0.2}", app.url) as gateway,
        connected(gateway.port) as client,
    ):
        await client.ask(get("/open/x"))
        await eventually(lambda: app.gone)
        assert gateway.pool() == {"busy": 0, "idle": 0}


# --- stale connections


def closing_after(answers: int) -> Script:
    """Return a script that closes its first connection when it gets one request more than it answers."""

    async def script(wire: UpstreamWire) -> None:
        is_first = wire.upstream.connections == 1
        served = 0
        while True:
            await wire.request()
            if is_first and served == answers:
                return
            await wire.send(OK)
            served += 1

    return script


@pytest.mark.parametrize(
    ("method", "status"), [("GET", 200), ("PUT", 200), ("DELETE", 200), ("POST", 502), ("PATCH", 502)]
)
async def test_a_stale_connection_is_retried_once_if_that_does_no_harm(
    tmp_path: Path, method: str, status: int
) -> None:
    async with (
        upstream(closing_after(1)) as app,
        running(tmp_path, "", app.url) as gateway,
        connected(gateway.port) as client,
    ):
        assert (await client.ask(get("/open/1"))).status == 200
        assert (await client.ask(request(method, "/open/2"))).status == status
        assert [seen.target for seen in app.requests].count("/open/2") == (2 if status == 200 else 1)


async def test_a_request_with_a_body_is_never_sent_twice(tmp_path: Path) -> None:
    async with (
        upstream(closing_after(1)) as app,
        running(tmp_path, "", app.url) as gateway,
        connected(gateway.port) as client,
    ):
        await client.ask(get("/open/1"))
        assert (await client.ask(request("PUT", "/open/2", body=b"x"))).status == 502
        assert len(app.requests) == 2


async def test_a_fresh_connection_that_closes_is_not_retried(tmp_path: Path) -> None:
    async with upstream(saying()) as app, running(tmp_path, "", app.url) as gateway:
        assert (await ask(gateway.port, get("/open/x"))).status == 502
        assert app.connections == 1


# --- not there, or too late


@contextmanager
def full_backlog() -> Iterator[int]:
    """A port where connections are neither taken nor refused."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        for _ in range(4):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
            waiting.append(sock)
        yield listener.getsockname()[1]
        for sock in waiting:
            sock.close()


async def test_a_refused_connection_is_a_bad_gateway(tmp_path: Path) -> None:
    with reserved_port() as port:
        async with running(tmp_path, "", f"http://127.0.0.1:{port}") as gateway, connected(gateway.port) as client:
            for method in ("GET", "POST"):
                answer = await client.ask(request(method, "/open/x", body=b"abc"))
                assert (answer.status, json.loads(answer.body)["error"]) == (502, "bad_gateway")
            assert gateway.decisions("open") == {"upstream_unreachable": 2}
            assert gateway.pool() == {"busy": 0, "idle": 0}


async def test_a_connection_that_is_not_taken_times_out(tmp_path: Path) -> None:
    with full_backlog() as port:
        text = "app: {timeouts: {connect: 0.2}}"
        async with running(tmp_path, text, f"http://127.0.0.1:{port}") as gateway, connected(gateway.port) as client:
            answer = await client.ask(request("POST", "/open/x", body=b"x" * 300_000))
            assert (answer.status, json.loads(answer.body)["error"]) == (504, "gateway_timeout")
            assert gateway.decisions("open") == {"connect_timeout": 1}
            assert gateway.pool() == {"busy": 0, "idle": 0}


async def test_an_answer_that_does_not_begin_times_out(tmp_path: Path) -> None:
    async with (
        upstream(saying(then_close=False)) as app,
        running(tmp_path, "app: {timeouts: {first_byte: 0.2}}", app.url) as gateway,
        connected(gateway.port) as client,
    ):
        assert (await client.ask(get("/open/x"))).status == 504
        await eventually(lambda: app.gone)
        assert gateway.decisions("open") == {"first_byte_timeout": 1}
        assert len(app.requests) == 1


async def test_an_answer_that_falls_silent_is_cut(tmp_path: Path) -> None:
    async with (
        upstream(saying(HEAD_OF_TEN + b"half", then_close=False)) as app,
        running(tmp_path, "app: {timeouts: {idle: 0.2}}", app.url) as gateway,
        connected(gateway.port) as client,
    ):
        with pytest.raises(Cut):
            await client.ask(get("/open/x"))
        await eventually(lambda: app.gone)
        assert gateway.decisions("open") == {"idle_timeout": 1}


async def test_an_upstream_that_does_not_take_the_upload_times_out(tmp_path: Path) -> None:
    async def script(wire: UpstreamWire) -> None:
        await wire.head()
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(3)

    async with (
        upstream(script) as app,
        running(tmp_path, "app: {timeouts: {idle: 0.3}}", app.url) as gateway,
        connected(gateway.port) as client,
    ):
        await client.send(request("POST", "/open/x", "Content-Length: 100000000"))
        client.writer.write(b"x" * 20_000_000)
        assert (await client.answer()).status == 504
        client.writer.transport.abort()


async def test_without_a_free_connection_the_service_is_unavailable(tmp_path: Path) -> None:
    async with (
        upstream(saying(then_close=False)) as app,
        running(tmp_path, "app: {connections: 1, queue: 1, timeouts: {connect: 0.3}}", app.url) as gateway,
        connected(gateway.port) as first,
        connected(gateway.port) as second,
        connected(gateway.port) as third,
    ):
        await first.send(get("/open/1"))
        await eventually(lambda: app.requests)
        await second.send(get("/open/2"))
        await asyncio.sleep(0.05)
        for client in (third, second):  # one beyond the queue, one that waited too long in it
            answer = await (third.ask(get("/open/3")) if client is third else second.answer())
            assert (answer.status, answer.one("Retry-After")) == (503, "1")
            assert json.loads(answer.body)["error"] == "temporarily_unavailable"
        assert gateway.decisions("open") == {"upstream_saturated": 2}


async def test_requests_wait_for_a_connection_and_share_it(tmp_path: Path) -> None:
    async def script(wire: UpstreamWire) -> None:
        while True:
            await wire.request()
            await asyncio.sleep(0.01)
            await wire.send(OK)

    async with upstream(script) as app, running(tmp_path, "app: {connections: 1}", app.url) as gateway:
        answers = await asyncio.gather(*(ask(gateway.port, get(f"/open/{n}")) for n in range(20)))
        assert [answer.status for answer in answers] == [200] * 20
        assert app.connections == 1


async def test_who_gives_up_while_connecting_leaves_the_place_to_others(tmp_path: Path) -> None:
    async with upstream() as app, running(tmp_path, "app: {connections: 2}", app.url) as gateway:
        for _ in range(10):
            async with connected(gateway.port) as client:
                head = b"POST /open/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                assert (await client.ask(head + b"zz\r\n")).status == 400
        assert (await ask(gateway.port, get("/open/x"))).status == 200


# --- several targets


async def test_requests_go_round(tmp_path: Path) -> None:
    async with (
        upstream(answering(OK.replace(b"ok", b"aa"))) as first,
        upstream(answering(OK.replace(b"ok", b"bb"))) as second,
        running(tmp_path, "", first.url, second.url) as gateway,
        connected(gateway.port) as client,
    ):
        bodies = [(await client.ask(get("/open/x"))).body for _ in range(6)]
        assert sorted(bodies[:2]) == [b"aa", b"bb"]
        assert bodies == bodies[:2] * 3
        assert (first.connections, second.connections) == (1, 1)


async def test_where_one_target_is_dead_another_serves(tmp_path: Path) -> None:
    with reserved_port() as port:
        async with (
            upstream() as alive,
            running(tmp_path, "", f"http://127.0.0.1:{port}", alive.url) as gateway,
            connected(gateway.port) as client,
        ):
            for method in ("GET", "POST") * 4:
                assert (await client.ask(request(method, "/open/x", body=b"abc"))).status == 200
            assert len(alive.requests) == 8


async def test_the_target_with_fewer_requests_is_preferred(tmp_path: Path) -> None:
    async with (
        upstream(saying(then_close=False)) as stuck,
        upstream() as quick,
        running(tmp_path, "app: {balance: least_connections}", stuck.url, quick.url) as gateway,
        connected(gateway.port) as first,
        connected(gateway.port) as second,
    ):
        for _ in range(2):
            await first.send(get("/open/stuck"))
            if stuck.requests:
                break
            await asyncio.sleep(0.05)
        await eventually(lambda: stuck.requests)
        for _ in range(6):
            assert (await second.ask(get("/open/x"))).status == 200
        assert len(stuck.requests) == 1


# --- other ways to reach an upstream


async def test_an_upstream_on_a_unix_socket(tmp_path: Path) -> None:
    async with (
        upstream(path=str(tmp_path / "app.sock")) as app,
        running(tmp_path, "", app.url) as gateway,
        connected(gateway.port) as client,
    ):
        for _ in range(2):
            assert (await client.ask(get("/api/x", bearer=token()))).status == 200
        assert app.connections == 1
        assert app.requests[0].one("X-User-Id") == "alice"


async def test_a_missing_unix_socket_is_a_bad_gateway(tmp_path: Path) -> None:
    async with running(tmp_path, "", f"unix:{tmp_path}/missing.sock") as gateway:
        assert (await ask(gateway.port, get("/open/x"))).status == 502


async def test_a_tls_upstream_with_its_own_authority_and_a_client_certificate(tmp_path: Path) -> None:
    servers, clients = make_authority(tmp_path, "servers"), make_authority(tmp_path, "clients")
    certificate, key = clients.issue("gateway")
    text = f"app: {{tls: {{ca: {servers.file}, certificate: {certificate}, key: {key}}}}}"
    async with (
        upstream(tls=servers.server(clients=clients)) as app,
        running(tmp_path, text, app.url) as gateway,
        connected(gateway.port) as client,
    ):
        for _ in range(3):
            answer = await client.ask(request("POST", "/api/x", bearer=token(), body=b"x" * 100_000))
            assert answer.status == 200
        assert app.connections == 1
        assert len(app.requests[0].body) == 100_000


async def test_a_tls_upstream_of_a_stranger_is_not_believed(tmp_path: Path) -> None:
    stranger, trusted = make_authority(tmp_path, "stranger"), make_authority(tmp_path, "trusted")
    async with (
        upstream(tls=stranger.server()) as app,
        running(tmp_path, f"app: {{tls: {{ca: {trusted.file}}}}}", app.url) as gateway,
    ):
        assert (await ask(gateway.port, get("/api/x", bearer=token()))).status == 502
        assert app.heads == []


async def test_a_tls_upstream_of_another_name_is_not_believed(tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    async with (
        upstream(tls=authority.server("localhost")) as app,
        running(tmp_path, f"app: {{tls: {{ca: {authority.file}, server_name: other.example}}}}", app.url) as gateway,
    ):
        assert (await ask(gateway.port, get("/api/x", bearer=token()))).status == 502
        assert app.heads == []


async def test_a_tls_upstream_that_speaks_first_is_a_bad_gateway(tmp_path: Path) -> None:
    async def script(wire: UpstreamWire) -> None:
        await wire.send(OK)
        await wire.closed()

    authority = make_authority(tmp_path)
    async with (
        upstream(script, tls=authority.server()) as app,
        running(tmp_path, f"app: {{tls: {{ca: {authority.file}}}}}", app.url) as gateway,
    ):
        answer = await ask(gateway.port, get("/open/x"))
        assert answer.status in (200, 502)  # 200 only if it spoke after it was asked
        await eventually(lambda: gateway.pool() == {"busy": 0, "idle": answer.status == 200})


async def test_a_tls_upstream_that_closes_at_once_is_a_bad_gateway(tmp_path: Path) -> None:
    async def script(wire: UpstreamWire) -> None:
        pass

    authority = make_authority(tmp_path)
    async with (
        upstream(script, tls=authority.server()) as app,
        running(tmp_path, f"app: {{tls: {{ca: {authority.file}}}}}", app.url) as gateway,
    ):
        assert (await ask(gateway.port, get("/open/x"))).status == 502


async def test_a_listener_speaks_tls(tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    certificate, key = authority.issue("localhost")
    text = f'listen: [{{address: "127.0.0.1:0", tls: {{certificate: {certificate}, key: {key}}}}}]'
    async with upstream() as app, running(tmp_path, text, app.url) as gateway:
        async with connected(gateway.port, authority.client()) as client:
            for _ in range(2):
                answer = await client.ask(request("POST", "/api/x", bearer=token(), body=b"x" * 200_000))
                assert answer.status == 200
            assert (await client.ask(get("/api/x"))).status == 401
            await client.send(get("/api/x") * 20)
            assert [(await client.answer()).status for _ in range(20)] == [401] * 20
        assert app.requests[0].one("X-Forwarded-Proto") == "https"
        printed = await curl("-i", "--cacert", str(authority.file), f"https://127.0.0.1:{gateway.port}/api/x")
        assert printed.startswith("HTTP/1.1 401 Unauthorized\r\n")


async def test_a_listener_may_require_client_certificates(tmp_path: Path) -> None:
    authority, clients = make_authority(tmp_path), make_authority(tmp_path, "clients")
    certificate, key = authority.issue("localhost")
    tls = f"{{certificate: {certificate}, key: {key}, client_ca: {clients.file}}}"
    async with (
        upstream() as app,
        running(tmp_path, f'listen: [{{address: "127.0.0.1:0", tls: {tls}}}]', app.url) as gateway,
    ):
        context = authority.client()
        with pytest.raises((Cut, ssl.SSLError, ConnectionError)):
            async with connected(gateway.port, context) as client:
                await client.ask(get("/open/x"))
        context.load_cert_chain(*clients.issue("someone"))
        async with connected(gateway.port, context) as client:
            assert (await client.ask(get("/open/x"))).status == 200
        assert len(app.requests) == 1
