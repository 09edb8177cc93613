"""How messages travel: connections that stay, pipelines, framing both ways, interim answers, old clients."""

import asyncio
from pathlib import Path

import pytest

from tests.trips.running import get, request, running, token
from tests.trips.servers import curl, nginx_running
from tests.trips.wire import OK, UpstreamWire, answering, connected, eventually, upstream


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))


async def test_one_upstream_connection_serves_many_requests_of_one_client(tmp_path: Path) -> None:
    async with upstream() as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        for number in range(20):
            answer = await client.ask(get(f"/api/{number}", bearer=token()))
            assert (answer.status, answer.body) == (200, b"ok")
        assert app.connections == 1
        assert len(app.requests) == 20
        assert gateway.pool() == {"busy": 0, "idle": 1}


async def test_clients_share_upstream_connections_one_after_the_other(tmp_path: Path) -> None:
    async with upstream() as app, running(tmp_path, "", app.url) as gateway:
        for number in range(5):
            async with connected(gateway.port) as client:
                assert (await client.ask(get(f"/open/{number}"))).status == 200
        assert app.connections == 1


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "REPORT"])
async def test_every_method_passes(tmp_path: Path, method: str) -> None:
    async with upstream() as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        assert (await client.ask(request(method, "/open/x", body=b"abc"))).status == 200
        assert (app.requests[0].line, app.requests[0].body) == (f"{method} /open/x HTTP/1.1", b"abc")


async def test_after_a_request_with_a_body_the_idle_connection_stays_quiet(tmp_path: Path) -> None:
    async with (
        upstream() as app,
        running(tmp_path, "timeouts: {head: 0.3}", app.url) as gateway,
        connected(gateway.port) as client,
    ):
        await client.send(request("POST", "/open/x", "Content-Length: 5"))
        await eventually(lambda: app.heads)
        assert (await client.ask(b"hello")).status == 200
        assert await client.silent(0.8)
        assert (await client.ask(get("/open/y"))).status == 200


async def test_an_idle_connection_is_closed_without_a_word(tmp_path: Path) -> None:
    async with (
        upstream() as app,
        running(tmp_path, "timeouts: {keep_alive: 0.2}", app.url) as gateway,
        connected(gateway.port) as client,
    ):
        await client.ask(get("/open/x"))
        assert await client.closed() == b""


async def test_a_listener_on_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "gateway.sock"
    text = f'listen: [{{address: "127.0.0.1:0"}}, {{address: "unix:{path}"}}]'
    for _ in range(2):  # what a dead process leaves behind is no hindrance
        async with upstream() as app, running(tmp_path, text, app.url):
            answer = await curl("-i", "--unix-socket", str(path), "http://api.example/open/x")
            assert answer.startswith("HTTP/1.1 200 OK\r\n")
            assert app.requests[0].one("Host") == "api.example"


async def test_no_more_idle_connections_are_kept_than_allowed(tmp_path: Path) -> None:
    async with (
        upstream() as app,
        running(tmp_path, "app: {idle_connections: 0}", app.url) as gateway,
        connected(gateway.port) as client,
    ):
        for _ in range(3):
            assert (await client.ask(get("/open/x"))).status == 200
        assert app.connections == 3
        assert gateway.pool() == {"busy": 0, "idle": 0}


async def test_the_rest_of_a_refused_body_must_come_in_time(tmp_path: Path) -> None:
    async with (
        upstream() as app,
        running(tmp_path, "timeouts: {body: 0.2}", app.url) as gateway,
        connected(gateway.port) as client,
    ):
        assert (await client.ask(request("POST", "/api/x", "Content-Length: 50"))).status == 401
        assert await client.closed() == b""
        assert app.connections == 0


async def test_a_slow_head_is_refused(tmp_path: Path) -> None:
    async with (
        upstream() as app,
        running(tmp_path, "timeouts: {head: 0.2}", app.url) as gateway,
        connected(gateway.port) as client,
    ):
        answer = await client.ask(b"GET /open/x HTTP/1.1\r\nHost:")
        assert (answer.status, answer.one("Connection")) == (408, "close")
        assert await client.closed() == b""
        assert app.connections == 0


async def test_a_slow_body_is_refused(tmp_path: Path) -> None:
    async with (
        upstream() as app,
        running(tmp_path, "timeouts: {body: 0.2}", app.url) as gateway,
        connected(gateway.port) as client,
    ):
        answer = await client.ask(request("POST", "/open/x", "Content-Length: 5") + b"hel")
        assert (answer.status, answer.one("Connection")) == (408, "close")
        assert await client.closed() == b""
        await eventually(lambda: app.gone)
        assert app.requests == []


# --- pipelines


async def test_pipelined_requests_are_answered_in_order(tmp_path: Path) -> None:
    async def echo(wire: UpstreamWire) -> None:
        while True:
            seen = await wire.request()
            await asyncio.sleep(0.02 if seen.target.endswith("0") else 0)
            body = seen.target.encode() + seen.body
            await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    async with upstream(echo) as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        pieces = [
            get(f"/open/{n}") if n % 3 else request("POST", f"/open/{n}", body=b"x" * 1000 * n) for n in range(30)
        ]
        await client.send(b"".join(pieces))
        for n in range(30):
            answer = await client.answer()
            assert answer.body == f"/open/{n}".encode() + (b"" if n % 3 else b"x" * 1000 * n)


async def test_allowed_and_refused_requests_keep_their_order(tmp_path: Path) -> None:
    async with upstream() as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        await client.send(b"".join(get("/open/x") + get("/api/x") + get("/nowhere") for _ in range(50)))
        assert [(await client.answer()).status for _ in range(150)] == [200, 401, 404] * 50
        assert len(app.requests) == 50


async def test_a_thousand_pipelined_refusals_in_one_segment_are_answered(tmp_path: Path) -> None:
    async with upstream() as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        await client.send(b"GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n" * 1000)
        assert [(await client.answer()).status for _ in range(1000)] == [401] * 1000
        assert (await client.ask(get("/open/x"))).status == 200
        assert len(app.requests) == 1


async def test_head_requests_in_a_pipeline_have_no_body(tmp_path: Path) -> None:
    async def script(wire: UpstreamWire) -> None:
        while True:
            seen = await wire.request()
            await wire.send(OK if seen.line.startswith("GET") else OK[:-2])

    async with upstream(script) as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        await client.send((request("HEAD", "/open/x") + get("/open/y")) * 3)
        for _ in range(3):
            head = await client.answer(to_head=True)
            assert (head.status, head.one("Content-Length")) == (200, "2")
            assert (await client.answer()).body == b"ok"
        assert app.connections == 1


async def test_a_client_that_reads_no_answers_fills_no_memory_with_refusals(tmp_path: Path) -> None:
    """The answers to a pipeline wait in the client's own socket, and so do its further requests."""
    async with (
        upstream() as app,
        running(tmp_path, "", app.url) as gateway,
        connected(gateway.port, buffer=4096) as client,
    ):
        pipeline = b"GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n" * 2000
        client.writer.write(pipeline * 40)
        [connection] = gateway.gateway.plane.connections
        for _ in range(30):
            await asyncio.sleep(0.01)
            assert connection.transport.get_write_buffer_size() < 2**21
        for _ in range(1000):
            assert (await client.answer()).status == 401
        client.writer.transport.abort()


async def test_a_client_that_reads_no_answers_fills_no_memory_with_answers(tmp_path: Path) -> None:
    """Also where one answer ended while the client was behind, and the next one could begin."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 150000\r\n\r\n" + b"x" * 150_000
    async with (
        upstream(answering(answer)) as app,
        running(tmp_path, "", app.url) as gateway,
        connected(gateway.port, buffer=4096) as client,
    ):
        await client.send(get("/open/x") * 200)
        [connection] = gateway.gateway.plane.connections
        for _ in range(30):
            await asyncio.sleep(0.01)
            assert connection.transport.get_write_buffer_size() < 2**20
        assert len(app.requests) < 200
        for _ in range(200):
            assert len((await client.answer()).body) == 150_000


# --- framing


@pytest.mark.parametrize("size", [0, 1, 5, 1000, 65_536, 300_000, 3_000_000])
async def test_bodies_with_a_length_pass_both_ways(tmp_path: Path, size: int) -> None:
    async def echo(wire: UpstreamWire) -> None:
        while True:
            seen = await wire.request()
            await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(seen.body), seen.body))

    body = (bytes(range(256)) * (size // 256 + 1))[:size]
    async with upstream(echo) as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        for _ in range(2):
            answer = await client.ask(request("POST", "/open/x", body=body))
            assert answer.all("Content-Length") == [str(size)]
            assert answer.all("Transfer-Encoding") == []
            assert answer.body == body
        assert app.requests[0].all("Content-Length") == [str(size)]
        assert app.connections == 1


async def test_chunked_bodies_pass_both_ways(tmp_path: Path) -> None:
    async def echo(wire: UpstreamWire) -> None:
        while True:
            seen = await wire.request()
            pieces = [seen.body[at : at + 7000] for at in range(0, len(seen.body), 7000)]
            await wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(*pieces))

    pieces = [b"%d" % n * 1000 for n in range(100)]
    async with upstream(echo) as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        for _ in range(2):
            head = request("POST", "/open/x", "Transfer-Encoding: chunked")
            answer = await client.ask(head + chunked(*pieces))
            assert answer.body == b"".join(pieces)
            assert (answer.all("Transfer-Encoding"), answer.all("Content-Length")) == (["chunked"], [])
        assert (app.requests[0].all("Transfer-Encoding"), app.requests[0].all("Content-Length")) == (["chunked"], [])
        assert app.connections == 1


async def test_an_answer_that_ends_with_the_connection_becomes_chunked(tmp_path: Path) -> None:
    async def script(wire: UpstreamWire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\n\r\nto the end")

    async with upstream(script) as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        for _ in range(2):
            answer = await client.ask(get("/open/x"))
            assert (answer.one("Transfer-Encoding"), answer.body) == ("chunked", b"to the end")
        assert app.connections == 2


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("extra", [b"", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"])
async def test_answers_that_never_have_a_body(tmp_path: Path, status: int, extra: bytes) -> None:
    script = answering(b"HTTP/1.1 %d X\r\n%b\r\n" % (status, extra))
    async with upstream(script) as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        for _ in range(3):
            answer = await client.ask(get("/open/x"))
            assert answer.status == status
            assert answer.all("Transfer-Encoding") == []
        assert await client.silent()
        assert app.connections == 1


@pytest.mark.parametrize("extra", [b"", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"])
async def test_answers_to_head_have_no_body_whatever_they_announce(tmp_path: Path, extra: bytes) -> None:
    script = answering(b"HTTP/1.1 200 OK\r\n" + extra + b"\r\n")
    async with upstream(script) as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        for _ in range(3):
            answer = await client.ask(request("HEAD", "/open/x"))
            assert answer.status == 200
        assert await client.silent()
        assert app.connections == 1


async def test_several_set_cookies_stay_apart(tmp_path: Path) -> None:
    script = answering(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nContent-Length: 0\r\n\r\n")
    async with upstream(script) as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        assert (await client.ask(get("/open/x"))).all("Set-Cookie") == ["a=1", "b=2"]


async def test_white_space_after_a_value_is_not_part_of_it(tmp_path: Path) -> None:
    """RFC 9110 §5.5. llhttp only takes away what stands before."""
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked \r\nX-A: b  \r\n\r\n" + chunked(b"hi")
    async with (
        upstream(answering(answer)) as app,
        running(tmp_path, "", app.url) as gateway,
        connected(gateway.port) as client,
    ):
        headers = (
            b"Host: api.example \r\nContent-Length: 5\t \r\nX-A:\t b \t\r\nAuthorization: Bearer " + token().encode()
        )
        received = await client.ask(b"POST /api/x HTTP/1.1\r\n" + headers + b"\t\r\n\r\nhello")
        assert (received.status, received.body, received.all("X-A")) == (200, b"hi", ["b"])
        [sent] = app.requests
        assert (sent.all("Host"), sent.all("Content-Length"), sent.all("X-A")) == (["api.example"], ["5"], ["b"])
        assert sent.body == b"hello"


@pytest.mark.parametrize("space", [b"\t", b" \t", b"\t "])
async def test_a_coding_that_the_parser_does_not_know_for_chunked_is_not_taken_for_it(
    tmp_path: Path, space: bytes
) -> None:
    """llhttp reads such an answer to the end of the connection, with the sizes of its chunks as content."""
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked" + space + b"\r\n\r\n" + chunked(b"hi")
    async with (
        upstream(answering(answer)) as app,
        running(tmp_path, "", app.url) as gateway,
        connected(gateway.port) as client,
    ):
        assert (await client.ask(get("/open/x"))).status == 502


async def test_hop_by_hop_headers_stay_on_their_hop(tmp_path: Path) -> None:
    answer = (
        b"HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\n"
        b"Proxy-Authenticate: x\r\nX-Ours: 2\r\nContent-Length: 0\r\n\r\n"
    )
    headers = ["Connection: keep-alive, X-Hop", "X-Hop: 1", "Keep-Alive: 5", "TE: trailers", "Proxy-Connection: x"]
    async with (
        upstream(answering(answer)) as app,
        running(tmp_path, "", app.url) as gateway,
        connected(gateway.port) as client,
    ):
        seen = await client.ask(get("/open/x", *headers, "X-Kept: 1"))
        names = {name for name, _ in seen.headers}
        assert names >= {"X-Ours", "Content-Length"}
        assert names.isdisjoint({"Connection", "X-Mine", "Keep-Alive", "Proxy-Authenticate"})
        names = {name for name, _ in app.requests[0].headers}
        assert "X-Kept" in names
        assert names.isdisjoint({"X-Hop", "Keep-Alive", "TE", "Proxy-Connection", "Connection"})


# --- clients that close, and old ones


async def test_connection_close_is_honoured(tmp_path: Path) -> None:
    async with upstream() as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        answer = await client.ask(get("/open/x", "Connection: close") + get("/open/never"))
        assert (answer.status, answer.one("Connection")) == (200, "close")
        assert await client.closed() == b""
        assert [seen.target for seen in app.requests] == ["/open/x"]
        assert gateway.pool() == {"busy": 0, "idle": 1}  # that is the client's matter, not the upstream's


async def test_an_http_1_0_client_is_served_and_the_connection_closes(tmp_path: Path) -> None:
    script = answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"hello ", b"world"))
    async with upstream(script) as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        answer = await client.ask(b"GET /open/x HTTP/1.0\r\n\r\n")
        assert answer.body == b"hello world"
        assert answer.all("Transfer-Encoding") == []
        assert app.requests[0].line == "GET /open/x HTTP/1.1"


async def test_an_http_1_0_client_may_ask_to_keep_the_connection(tmp_path: Path) -> None:
    async with upstream() as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        for _ in range(3):
            answer = await client.ask(b"GET /open/x HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
            assert (answer.status, answer.one("Connection"), answer.body) == (200, "keep-alive", b"ok")


async def test_an_http_1_0_upstream_is_understood(tmp_path: Path) -> None:
    async def script(wire: UpstreamWire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await wire.closed()

    async with upstream(script) as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        for _ in range(2):
            assert (await client.ask(get("/open/x"))).body == b"ok"
        assert app.connections == 2


# --- interim answers


async def test_early_hints_pass(tmp_path: Path) -> None:
    script = answering(b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n" + OK)
    async with upstream(script) as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        for _ in range(2):
            hints = await client.ask(get("/open/x"))
            assert (hints.status, hints.one("Link")) == (103, "</a>; rel=preload")
            assert (await client.answer()).body == b"ok"
        old = await client.ask(b"GET /open/x HTTP/1.0\r\n\r\n")
        assert old.status == 200


async def test_continue_passes_from_end_to_end(tmp_path: Path) -> None:
    async def script(wire: UpstreamWire) -> None:
        while True:
            head = await wire.head()
            assert head.one("Expect") == "100-continue"
            await wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            assert await wire.body(head, to_the_end=False) == b"hello"
            await wire.send(OK)

    async with upstream(script) as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        for _ in range(2):
            interim = await client.ask(request("POST", "/open/x", "Expect: 100-continue", "Content-Length: 5"))
            assert interim.status == 100
            assert (await client.ask(b"hello")).body == b"ok"
        assert app.connections == 1


async def test_who_expects_a_continue_is_refused_before_the_body(tmp_path: Path) -> None:
    async with upstream() as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        answer = await client.ask(request("POST", "/api/x", "Expect: 100-continue", "Content-Length: 5"))
        assert (answer.status, answer.one("Connection")) == (401, "close")
        assert await client.closed() == b""
        assert app.connections == 0


async def test_the_upstream_may_refuse_before_the_body(tmp_path: Path) -> None:
    async def script(wire: UpstreamWire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n")
        await wire.closed()

    async with upstream(script) as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        answer = await client.ask(request("POST", "/open/x", "Expect: 100-continue", "Content-Length: 5"))
        assert (answer.status, answer.one("Connection")) == (417, "close")
        assert await client.closed() == b""
        await eventually(lambda: app.gone)  # in the middle of a request: not used again


async def test_an_answer_before_the_end_of_the_body_reaches_the_client(tmp_path: Path) -> None:
    async def script(wire: UpstreamWire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 413 Too much\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!")
        wire.finish()
        await wire.closed()

    async with upstream(script) as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        await client.send(request("POST", "/open/x", "Content-Length: 100000") + b"x" * 50_000)
        answer = await client.answer()
        assert (answer.status, answer.body, answer.one("Connection")) == (413, b"no!", "close")
        assert await client.closed() == b""
        await eventually(lambda: app.gone)


@pytest.mark.parametrize("rest_is_sent", [True, False])
async def test_a_refused_upload_is_answered_at_once(tmp_path: Path, rest_is_sent: bool) -> None:
    async with upstream() as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        await client.send(request("POST", "/api/x", "Content-Length: 500000") + b"x" * 1000)
        if rest_is_sent:
            client.writer.write(b"x" * 499_000)
        answer = await client.answer()
        assert (answer.status, answer.one("Connection")) == (401, "close")
        assert await client.closed() == b""
        assert app.connections == 0


async def test_a_small_refused_body_does_not_cost_the_connection(tmp_path: Path) -> None:
    async with upstream() as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        answer = await client.ask(request("POST", "/api/x", body=b"x" * 10_000))
        assert (answer.status, answer.all("Connection")) == (401, [])
        assert (await client.ask(get("/open/x"))).status == 200
        assert len(app.requests) == 1


@pytest.mark.parametrize("head", ["Content-Length: 2000", "Transfer-Encoding: chunked"])
async def test_a_body_beyond_the_limit_is_refused(tmp_path: Path, head: str) -> None:
    async with (
        upstream() as app,
        running(tmp_path, "limits: {body_bytes: 1000}", app.url) as gateway,
        connected(gateway.port) as client,
    ):
        body = b"x" * 2000 if "Length" in head else chunked(b"x" * 600, b"x" * 600)
        answer = await client.ask(request("POST", "/open/x", head) + body)
        assert answer.status == 413
        assert app.requests == []


async def test_an_upgrade_that_the_route_does_not_offer_is_ignored(tmp_path: Path) -> None:
    """RFC 9110 §7.8; `h2c` would carry requests past the gateway."""
    upgrade = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
    async with upstream() as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        answer = await client.ask(get("/open/1", *upgrade))
        assert (answer.status, answer.body) == (200, b"ok")
        answer = await client.ask(request("POST", "/open/2", *upgrade, body=b"x" * 100_000))
        assert (answer.status, answer.body) == (200, b"ok")
        head = request("POST", "/open/3", *upgrade, "Transfer-Encoding: chunked")
        answer = await client.ask(head + chunked(b"abc", b"def") + get("/open/4"))
        assert (answer.status, answer.body) == (200, b"ok")
        assert (await client.answer()).status == 200
        await client.send(get("/open/5", *upgrade) + get("/open/6"))
        assert [(await client.answer()).status for _ in range(2)] == [200, 200]
        assert [seen.target for seen in app.requests] == [f"/open/{n}" for n in range(1, 7)]
        assert [len(seen.body) for seen in app.requests] == [0, 100_000, 6, 0, 0, 0]
        assert all(not seen.all("Upgrade") and not seen.all("HTTP2-Settings") for seen in app.requests)


async def test_nginx_as_the_upstream_keeps_its_connection(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(range(256)) * 4096)
    server = f'location /open/n {{ return 200 "$connection"; }} location /open/big {{ alias {tmp_path}/big; }}'
    with nginx_running(tmp_path, server) as url:
        async with running(tmp_path, "", url) as gateway, connected(gateway.port) as client:
            numbers = {(await client.ask(get("/open/n"))).body for _ in range(10)}
            assert len(numbers) == 1
            assert (await client.ask(get("/open/big"))).body == bytes(range(256)) * 4096
            part = await client.ask(get("/open/big", "Range: bytes=10-19"))
            assert (part.status, part.body) == (206, bytes(range(10, 20)))
            assert (await client.ask(request("HEAD", "/open/big"))).one("Content-Length") == str(256 * 4096)
            assert (await client.ask(get("/open/n"))).body in numbers


async def test_a_client_that_resets_is_no_trouble(tmp_path: Path) -> None:
    async with upstream() as app, running(tmp_path, "", app.url) as gateway:
        async with connected(gateway.port) as client:
            await client.send(get("/open/x"))
            client.reset()
        async with connected(gateway.port) as client:
            assert (await client.ask(get("/open/x"))).status == 200
