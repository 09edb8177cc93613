"""Requests that two servers could read differently: refused, and the upstream never sees anything of them.

Where the next request begins is in doubt, the connection ends with the refusal.
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
    "obs-fold with a tab": (400, HEAD + b"X-A: 1\r\n\tfolded\r\n\r\n"),
    "folded first header": (400, b"GET /open/x HTTP/1.1\r\n Host: a\r\n\r\n"),
    "bare LF after the request line": (400, b"GET /open/x HTTP/1.1\nHost: a\r\n\r\n"),
    "bare LF after a header": (400, HEAD + b"X-A: 1\nX-B: 2\r\n\r\n"),
    "bare LF at the end of the head": (400, HEAD + b"X-A: 1\r\n\n"),
    "bare CR in a value": (400, HEAD + b"X-A: 1\rX-B: 2\r\n\r\n"),
    "bare CR as a line end": (400, b"GET /open/x HTTP/1.1\rHost: a\r\r"),
    "NUL in a value": (400, HEAD + b"X-A: a\0b\r\n\r\n"),
    "control character in a value": (400, HEAD + b"X-A: a\x01b\r\n\r\n"),
    "NUL in a name": (400, HEAD + b"X\0A: 1\r\n\r\n"),
    "space before the colon": (400, HEAD + b"Content-Length : 5\r\n\r\nhello"),
    "tab before the colon": (400, HEAD + b"Transfer-Encoding\t: chunked\r\n\r\n"),
    "space in a name": (400, HEAD + b"X A: 1\r\n\r\n"),
    "header without a colon": (400, HEAD + b"nonsense\r\n\r\n"),
    "header without a name": (400, HEAD + b": 1\r\n\r\n"),
    "non-ASCII name": (400, HEAD + b"X-\xc3\xa9: 1\r\n\r\n"),
    "Transfer-Encoding and Content-Length": (
        400,
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    ),
    "Content-Length and Transfer-Encoding": (
        400,
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    "two Content-Lengths that differ": (400, POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
    "two Content-Lengths that agree": (400, POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
    "a list of Content-Lengths": (400, POST + b"Content-Length: 5, 5\r\n\r\nhello"),
    "negative Content-Length": (400, POST + b"Content-Length: -5\r\n\r\nhello"),
    "signed Content-Length": (400, POST + b"Content-Length: +5\r\n\r\nhello"),
    "hexadecimal Content-Length": (400, POST + b"Content-Length: 0x5\r\n\r\nhello"),
    "empty Content-Length": (400, POST + b"Content-Length:\r\n\r\nhello"),
    "Content-Length with a space inside": (400, POST + b"Content-Length: 1 0\r\n\r\nhello"),
    "Content-Length beyond 64 bits": (400, POST + b"Content-Length: 18446744073709551621\r\n\r\nhello"),
    "two Transfer-Encodings": (
        400,
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    "chunked twice": (400, POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    "gzip, then chunked": (501, POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    "chunked, then identity": (400, POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
    "unknown transfer coding": (501, POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    "transfer coding in quotes": (501, POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n'),
    "Transfer-Encoding with a vertical tab": (400, POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
    "Transfer-Encoding in HTTP/1.0": (
        400,
        b"POST /open/x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    "HTTP/0.9": (505, b"GET /open/x\r\n\r\n"),
    "HTTP/0.9 by name": (505, b"GET /open/x HTTP/0.9\r\nHost: a\r\n\r\n"),
    "HTTP/2.0": (505, b"GET /open/x HTTP/2.0\r\nHost: a\r\n\r\n"),
    "HTTP/1.2": (400, b"GET /open/x HTTP/1.2\r\nHost: a\r\n\r\n"),
    "HTTP/11": (400, b"GET /open/x HTTP/11\r\nHost: a\r\n\r\n"),
    "the preface of HTTP/2": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "http in lower case": (400, b"GET /open/x http/1.1\r\nHost: a\r\n\r\n"),
    "unknown method": (400, b"BREW /open/x HTTP/1.1\r\nHost: a\r\n\r\n"),
    "method in lower case": (400, b"get /open/x HTTP/1.1\r\nHost: a\r\n\r\n"),
    "a tab in the request line": (400, b"GET\t/open/x HTTP/1.1\r\nHost: a\r\n\r\n"),
    "a space in the target": (400, b"GET /open/x y HTTP/1.1\r\nHost: a\r\n\r\n"),
    "TLS on a plain port": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 32),
    "garbage": (400, b"\xff\xfe\xfd nonsense\r\n\r\n"),
    "a header flood": (431, HEAD + b"".join(b"X-%d: 1\r\n" % n for n in range(101)) + b"\r\n"),
    "a huge header": (431, HEAD + b"X-A: " + b"a" * 40_000 + b"\r\n\r\n"),
    "an endless header": (431, HEAD + b"X-A: " + b"a" * 40_000),
    "an endless name": (431, HEAD + b"a" * 40_000),
    "a huge target": (414, b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n"),
    "an endless target": (414, b"GET /" + b"a" * 20_000),
}

STAYS = {
    "two Hosts": b"GET /open/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "two equal Hosts": b"GET /open/x HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "no Host": b"GET /open/x HTTP/1.1\r\n\r\n",
    "empty Host": b"GET /open/x HTTP/1.1\r\nHost:\r\n\r\n",
    "a Host with a path": b"GET /open/x HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "a Host with a user": b"GET /open/x HTTP/1.1\r\nHost: user@a\r\n\r\n",
    "a Host with a bad port": b"GET /open/x HTTP/1.1\r\nHost: a:99999\r\n\r\n",
    "a Host list": b"GET /open/x HTTP/1.1\r\nHost: a, b\r\n\r\n",
    "absolute-form of another host": b"GET http://b/open/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "absolute-form with a user": b"GET http://u@a/open/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "absolute-form of another scheme": b"GET ftp://a/open/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "an empty segment": b"GET /open//x HTTP/1.1\r\nHost: a\r\n\r\n",
    "a target that starts with two slashes": b"GET //open/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "a dot segment": b"GET /open/../api/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "a single dot": b"GET /open/./x HTTP/1.1\r\nHost: a\r\n\r\n",
    "an encoded dot segment": b"GET /open/%2e%2e/api/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "a half encoded dot segment": b"GET /open/.%2E/api/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "an encoded slash": b"GET /open/..%2fapi/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "an encoded slash alone": b"GET /open/a%2Fb HTTP/1.1\r\nHost: a\r\n\r\n",
    "a backslash": b"GET /open/..\\api HTTP/1.1\r\nHost: a\r\n\r\n",
    "an encoded backslash": b"GET /open/a%5cb HTTP/1.1\r\nHost: a\r\n\r\n",
    "a path parameter": b"GET /open/..;/api/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "an encoded semicolon": b"GET /open/..%3b/api/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "double encoding": b"GET /open/%252e%252e/api HTTP/1.1\r\nHost: a\r\n\r\n",
    "an encoded NUL": b"GET /open/a%00 HTTP/1.1\r\nHost: a\r\n\r\n",
    "an encoded CRLF": b"GET /open/a%0d%0aX HTTP/1.1\r\nHost: a\r\n\r\n",
    "overlong UTF-8": b"GET /open/%c0%ae%c0%ae/api HTTP/1.1\r\nHost: a\r\n\r\n",
    "a broken percent-encoding": b"GET /open/%zz HTTP/1.1\r\nHost: a\r\n\r\n",
    "a fragment": b"GET /open/x#y HTTP/1.1\r\nHost: a\r\n\r\n",
    "TRACE": b"TRACE /open/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "Connection lists Host": HEAD + b"Connection: Host\r\n\r\n",
    "Connection lists Authorization": HEAD + b"Connection: close-not, Authorization\r\n\r\n",
    "Connection lists Cookie": HEAD + b"Connection: Cookie\r\n\r\n",
    "Connection lists Content-Length": HEAD + b"Connection: Content-Length\r\n\r\n",
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


async def test_connect_is_refused_and_what_follows_is_not_tunnelled(tmp_path: Path) -> None:
    async with upstream() as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        answer = await client.ask(b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n")
        assert answer.status == 400
        assert saw_nothing(app)


BAD_CHUNKS = {
    "not a number": b"zz\r\nhello\r\n",
    "negative": b"-5\r\nhello\r\n",
    "with 0x": b"0x5\r\nhello\r\n",
    "beyond 64 bits": b"fffffffffffffffff\r\nhello\r\n",
    "with a space": b"5 \r\nhello\r\n",
    "too short": b"4\r\nhello\r\n",
    "too long": b"6\r\nhello\r\n0\r\n\r\n",
    "bare LF after the size": b"5\nhello\r\n",
    "bare LF after the chunk": b"5\r\nhello\n0\r\n\r\n",
    "bare CR after the size": b"5\rhello\r\n",
    "empty size": b"\r\nhello\r\n",
    "control character in an extension": b"5;a=\x00\r\nhello\r\n",
    "bare LF in an extension": b"5;a\nhello\r\n0\r\n\r\n",
    "bare LF at the very end": b"5\r\nhello\r\n0\r\n\n",
}


@pytest.mark.parametrize("chunks", BAD_CHUNKS.values(), ids=BAD_CHUNKS.keys())
async def test_a_bad_chunk_ends_the_connection_on_both_sides(tmp_path: Path, chunks: bytes) -> None:
    async with upstream() as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        await client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n" + chunks + get("/open/smuggled"))
        answer = await client.answer()
        assert answer.status == 400
        assert answer.one("Connection") == "close"
        assert await client.closed() == b""
        assert app.requests == []  # no whole one
        await eventually(lambda: gateway.pool() == {"busy": 0, "idle": 0})


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


@pytest.mark.parametrize(
    "name", ["Content_Length", "content.length", "CONTENT_LENGTH", "Transfer_Encoding", "Content-Length_"]
)
async def test_headers_that_some_servers_take_for_framing_do_not_pass(tmp_path: Path, name: str) -> None:
    async with upstream() as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        value = "chunked" if "ransfer" in name else "5"
        data = request("POST", "/open/x", f"{name}: {value}", body=b"abc")
        assert (await client.ask(data)).status == 200
        [seen] = app.requests
        assert seen.body == b"abc"
        framing = [header for header, _ in seen.headers if "length" in header.lower() or "encoding" in header.lower()]
        assert [header for header in framing if header != "Content-Length_"] == ["Content-Length"]


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


@pytest.mark.parametrize("trailer", ["Content-Length: 3", "Transfer-Encoding: chunked"])
async def test_framing_in_a_trailer_is_refused(tmp_path: Path, trailer: str) -> None:
    body = f"5\r\nhello\r\n0\r\n{trailer}\r\n\r\n".encode()
    async with upstream() as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        answer = await client.ask(POST + b"Transfer-Encoding: chunked\r\n\r\n" + body)
        assert (answer.status, answer.one("Connection")) == (400, "close")
        assert app.requests == []


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


TOLERATED = {
    "two spaces in the request line": b"GET  /open/x  HTTP/1.1\r\nHost: api.example\r\n\r\n",
    "RTSP": b"GET /open/x RTSP/1.0\r\nHost: api.example\r\n\r\n",
}


@pytest.mark.parametrize("data", TOLERATED.values(), ids=TOLERATED.keys())
async def test_what_the_parser_tolerates_reaches_the_upstream_as_plain_http(tmp_path: Path, data: bytes) -> None:
    """llhttp does not tell these from HTTP. Nothing of them is passed on."""
    async with upstream() as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        assert (await client.ask(data)).status == 200
        assert app.requests[0].line == "GET /open/x HTTP/1.1"


async def test_chunk_extensions_are_dropped(tmp_path: Path) -> None:
    async with upstream() as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        await client.ask(POST + b'Transfer-Encoding: chunked\r\n\r\n5;a="b"\r\nhello\r\n0\r\n\r\n')
        assert app.requests[0].body == b"hello"


@pytest.mark.parametrize("lines", [b"\r\n", b"\r\n\r\n"])
async def test_empty_lines_before_a_request_are_ignored(tmp_path: Path, lines: bytes) -> None:
    """RFC 9112 §2.2"""
    async with upstream() as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        assert (await client.ask(lines + get("/open/x"))).status == 200
        assert (await client.ask(lines + get("/open/y"))).status == 200


async def test_absolute_form_of_the_same_host_is_served(tmp_path: Path) -> None:
    async with upstream() as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        answer = await client.ask(b"GET http://API.example/open/x?a=1 HTTP/1.1\r\nHost: api.example\r\n\r\n")
        assert answer.status == 200
        assert app.requests[0].line == "GET /open/x?a=1 HTTP/1.1"


async def test_what_came_before_a_malformed_request_is_answered_first(tmp_path: Path) -> None:
    async with upstream() as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        await client.send(get("/open/1") + get("/open/2") + b"nonsense\r\n\r\n" + get("/open/3"))
        assert [(await client.answer()).status for _ in range(3)] == [200, 200, 400]
        assert await client.closed() == b""
        assert [seen.target for seen in app.requests] == ["/open/1", "/open/2"]


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
