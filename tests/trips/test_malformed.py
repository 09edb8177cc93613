"""Requests that two servers could read differently: what the refusals look like, and what is left of the connection.

Where the next request begins is in doubt, the connection ends with the refusal. All the ways are in `raw_exchanges/`.
"""

import asyncio
import json
from pathlib import Path

import pytest

from tests.trips.running import get, request, running, token
from tests.trips.wire import Upstream, connected, eventually, upstream

HEAD = b"GET /open/x HTTP/1.1\r\nHost: a\r\n"
POST = b"POST /open/x HTTP/1.1\r\nHost: a\r\n"

CLOSES = {
    "obs-fold": (400, HEAD + b"X-A: 1\r\n folded: 2\r\n\r\n"),
    "Transfer-Encoding and Content-Length": (
        400,
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    ),
    "unknown transfer coding": (501, POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    "HTTP/2.0": (505, b"GET /open/x HTTP/2.0\r\nHost: a\r\n\r\n"),
    "a header flood": (431, HEAD + b"".join(b"X-%d: 1\r\n" % n for n in range(101)) + b"\r\n"),
    "an endless header": (431, HEAD + b"X-A: " + b"a" * 40_000),
    "an endless name": (431, HEAD + b"a" * 40_000),
    "a huge target": (414, b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n"),
    "an endless target": (414, b"GET /" + b"a" * 20_000),
}

STAYS = {
    "two Hosts": b"GET /open/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "a dot segment": b"GET /open/../api/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "an encoded slash alone": b"GET /open/a%2Fb HTTP/1.1\r\nHost: a\r\n\r\n",
    "double encoding": b"GET /open/%252e%252e/api HTTP/1.1\r\nHost: a\r\n\r\n",
    "TRACE": b"TRACE /open/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "Connection lists Host": HEAD + b"Connection: Host\r\n\r\n",
    "two Authorizations": get("/api/x", "Authorization: Bearer a", "Authorization: Bearer b"),
}


def saw_nothing(app: Upstream) -> bool:
    return app.connections == 0 and not app.heads


@pytest.mark.parametrize(("status", "data"), CLOSES.values(), ids=CLOSES.keys())
async def test_the_connection_ends_where_messages_cannot_be_told_apart(
    tmp_path: Path, status: int, data: bytes
) -> None:
    async with upstream() as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        answer = await client.ask(data + get("/open/smuggled") if data.endswith(b"\n") else data)
        assert answer.status == status
        assert answer.one("Connection") == "close"
        assert answer.one("Cache-Control") == "no-store"
        assert list(json.loads(answer.body)) == ["error", "error_description", "request_id"]
        assert await client.closed() == b""
        assert saw_nothing(app)
        assert gateway.decisions("open") == {}


@pytest.mark.parametrize("data", STAYS.values(), ids=STAYS.keys())
async def test_an_ambiguous_request_is_refused_alone(tmp_path: Path, data: bytes) -> None:
    async with upstream() as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        answer = await client.ask(data)
        assert answer.status == 400
        assert saw_nothing(app)
        if answer.one("Connection") == "close":
            assert await client.closed() == b""
        else:
            assert (await client.ask(get("/open/next"))).status == 200
            assert [seen.target for seen in app.requests] == ["/open/next"]


BAD_CHUNKS = {
    "not a number": b"zz\r\nhello\r\n",
    "beyond 64 bits": b"fffffffffffffffff\r\nhello\r\n",
    "too short": b"4\r\nhello\r\n",
    "bare LF after the chunk": b"5\r\nhello\n0\r\n\r\n",
    "bare LF at the very end": b"5\r\nhello\r\n0\r\n\n",
}


@pytest.mark.parametrize("chunks", BAD_CHUNKS.values(), ids=BAD_CHUNKS.keys())
async def test_a_bad_chunk_that_comes_later_does_so_too(tmp_path: Path, chunks: bytes) -> None:
    async with upstream() as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        await client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        await eventually(lambda: app.heads)
        answer = await client.ask(chunks)
        assert (answer.status, answer.one("Connection")) == (400, "close")
        assert await client.closed() == b""
        assert app.requests == []
        await eventually(lambda: gateway.pool() == {"busy": 0, "idle": 0})


async def test_trailers_are_dropped_and_never_become_headers(tmp_path: Path) -> None:
    body = b"5\r\nhello\r\n0\r\nX-User-Id: admin\r\nAuthorization: Bearer x\r\n\r\n"
    head = request("POST", "/api/x", "Transfer-Encoding: chunked", "Trailer: X-User-Id", bearer=token())
    async with upstream() as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        assert (await client.ask(head + body)).status == 200
        assert (await client.ask(get("/open/next"))).status == 200
        first, second = app.requests
        assert first.all("X-User-Id") == ["alice"]
        assert first.all("Trailer") == []
        assert first.body == b"hello"
        assert second.target == "/open/next"
        assert second.all("X-User-Id") == []


ENDLESS = {"trailers": b"X-A: " + b"a" * 8000 + b"\r\n", "one trailer": b"X" * 8000}


@pytest.mark.parametrize("piece", ENDLESS.values(), ids=ENDLESS.keys())
async def test_endless_trailers_are_cut(tmp_path: Path, piece: bytes) -> None:
    head = POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"
    async with upstream() as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        await client.send(head)
        for _ in range(6):
            await client.send(piece)
            await asyncio.sleep(0.01)
        answer = await client.answer()
        assert (answer.status, answer.one("Connection")) == (431, "close")
        assert app.requests == []


async def test_an_endless_chunk_extension_is_cut(tmp_path: Path) -> None:
    async with upstream() as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        await client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n5;a=")
        for _ in range(6):
            await client.send(b"x" * 8000)
            await asyncio.sleep(0.01)
        answer = await client.answer()
        assert (answer.status, answer.one("Connection")) == (431, "close")
        assert app.requests == []


async def test_a_large_head_behind_another_request_is_refused(tmp_path: Path) -> None:
    async with upstream() as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        await client.send(get("/open/1") + HEAD + b"X-A: " + b"a" * 40_000 + b"\r\n\r\n")
        assert [(await client.answer()).status for _ in range(2)] == [200, 431]
        assert [seen.target for seen in app.requests] == ["/open/1"]


@pytest.mark.parametrize("path", ["/nowhere", "/open/x"])
async def test_a_long_row_of_requests_is_answered_in_order_and_never_piles_up(tmp_path: Path, path: str) -> None:
    async with upstream() as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        await client.send(get(path) * 1000)
        most = 0
        for _ in range(1000):
            assert (await client.answer()).status == (200 if app.requests else 404)
            [connection] = gateway.gateway.plane.connections
            most = max(most, len(connection.queue))
        assert most < 300
        assert (await client.ask(get("/nowhere"))).status == 404


async def test_a_row_of_requests_does_not_make_others_wait(tmp_path: Path) -> None:
    async with (
        upstream() as app,
        running(tmp_path, "", app.url) as gateway,
        connected(gateway.port) as greedy,
        connected(gateway.port) as other,
    ):
        await eventually(lambda: len(gateway.gateway.plane.connections) == 2)
        greedy.writer.write(get("/nowhere") * 4000)
        assert (await other.ask(get("/nowhere"))).status == 404
        assert gateway.decisions(None)["no_route"] < 4000


async def test_a_head_in_single_bytes_is_understood(tmp_path: Path) -> None:
    async with upstream() as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        for byte in get("/open/x"):
            await client.send(bytes((byte,)))
            await asyncio.sleep(0)
        assert (await client.answer()).status == 200
