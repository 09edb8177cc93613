"""What is under way ends with its token: WebSockets, streams, downloads, and requests that still wait."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.model.revocation import Level, mark
from gateway.model.session import EndReason
from tests.minting import ISSUER, NOW
from tests.revoking import News
from tests.trips.running import Running, get, request, running, token
from tests.trips.test_inline_tokens import gate, log_in
from tests.trips.test_websocket import SWITCH, UPGRADE, chat, dial
from tests.trips.wire import Client, Cut, Upstream, UpstreamWire, connected, eventually, upstream

ROUTES = """
state: {url: "sqlite:state.db"}
authenticators:
  issuer: {type: jwt, issuer: "https://gw.example", audiences: ["https://api.example"], jwks_file: keys.json, leeway: 0}
routes:
  - {id: public, match: {path: "/public/**"}, upstream: app, access: public}
  - {id: closed, match: {path: "/closed/**"}, upstream: app}
  - {id: open, match: {path: "/open/**"}, upstream: app, revocation: {when_stale: open}}
  - {id: hybrid, match: {path: "/hybrid/**"}, upstream: app, revocation: {when_stale: hybrid}}
  - {id: patient, match: {path: "/patient/**"}, upstream: app, expiry_grace: 60}
"""
ENDED_AT_ONCE = pytest.mark.parametrize("path", ["/closed", "/open", "/hybrid", "/patient"])
TICKS = 0.6
"""Seconds in which the gateway's coarse clock has its turn at least twice."""


def alice() -> str:
    return token(sub="alice", jti="of alice")


def bob() -> str:
    return token(sub="bob", jti="of bob")


def revoke(news: News, who: str) -> None:
    news.revoke_mark(mark(Level.SUBJECT, ISSUER, who))


def know(gateway: Running) -> News:
    """Let a gateway know of revocations, of which it has had news."""
    news = News().fresh()
    gateway.gateway.plane.snapshot.gatekeeper.revocations = news.view
    return news


async def answering_slowly(wire: UpstreamWire) -> None:
    """Begin every kind of long answer, and never end it."""
    while True:
        match (await wire.request()).target.rpartition("/")[2]:
            case "ws":
                await wire.send(SWITCH + b"hello")
            case "stream":
                await wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
            case "download":
                await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello")
            case "quick":
                await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                continue
        await wire.closed(60)
        return


@asynccontextmanager
async def slow() -> AsyncIterator[Upstream]:
    async with upstream(answering_slowly) as app:
        yield app


async def begun(client: Client, asked: bytes) -> Client:
    """Ask, and read the head and the first five bytes of the answer."""
    await client.send(asked)
    head = await client.head()
    assert head.status in (101, 200)
    if head.one("transfer-encoding"):
        await client.line()
    assert await client.exactly(5) == b"hello"
    if head.one("transfer-encoding"):
        await client.exactly(2)
    return client


# --- revocation


@ENDED_AT_ONCE
async def test_a_revocation_closes_the_websockets_of_the_token_and_no_others(tmp_path: Path, path: str) -> None:
    async with chat(tmp_path) as (server, _), running(tmp_path, ROUTES, address(server)) as gateway:
        news = know(gateway)
        async with dial(gateway, f"{path}/ws", alice()) as hers, dial(gateway, f"{path}/ws", bob()) as his:
            revoke(news, "alice")
            async with asyncio.timeout(3):
                await hers.wait_closed()
            await eventually(lambda: len(server.connections) == 1)
            await his.send("still there?")
            assert await his.recv() == "still there?"
            assert gateway.decisions(path[1:]) == {"revoked_token": 1}


def address(server: object) -> str:
    port = next(iter(server.sockets)).getsockname()[1]  # type: ignore[attr-defined]
    return f"http://127.0.0.1:{port}"


@ENDED_AT_ONCE
@pytest.mark.parametrize("what", ["stream", "download"])
async def test_a_revocation_cuts_answers_so_that_the_client_sees_it(tmp_path: Path, path: str, what: str) -> None:
    async with slow() as app, running(tmp_path, ROUTES, app.url) as gateway, connected(gateway.port) as client:
        news = know(gateway)
        await begun(client, get(f"{path}/{what}", bearer=alice()))
        revoke(news, "alice")
        with pytest.raises(Cut):
            await (client.line() if what == "stream" else client.exactly(95))
        await eventually(lambda: app.gone)
        assert gateway.decisions(path[1:]) == {"revoked_token": 1}
        assert gateway.pool() == {"busy": 0, "idle": 0}


async def test_a_client_that_takes_the_end_of_the_connection_for_the_end_sees_the_cut_too(tmp_path: Path) -> None:
    async with slow() as app, running(tmp_path, ROUTES, app.url) as gateway, connected(gateway.port) as client:
        news = know(gateway)
        old = get("/closed/stream", bearer=alice()).replace(b"HTTP/1.1", b"HTTP/1.0")
        await client.send(old)
        await client.head()
        assert await client.exactly(5) == b"hello"
        revoke(news, "alice")
        with pytest.raises(Cut):
            await client.rest()


async def test_a_request_that_still_waits_for_its_answer_is_refused(tmp_path: Path) -> None:
    """C18"""
    async with slow() as app, running(tmp_path, ROUTES, app.url) as gateway, connected(gateway.port) as client:
        news = know(gateway)
        await client.send(get("/closed/silence", bearer=alice()))
        await eventually(lambda: app.requests)
        revoke(news, "alice")
        answer = await client.answer()
        assert answer.status == 401
        assert 'error_description="The access token was revoked"' in (answer.one("WWW-Authenticate") or "")
        await eventually(lambda: app.gone)
        assert (await client.ask(get("/closed/quick", bearer=alice()))).status == 401
        assert (await client.ask(get("/closed/quick", bearer=bob()))).status == 200
        assert gateway.decisions("closed") == {"revoked_token": 2, "allow": 1}


async def test_a_websocket_whose_client_takes_nothing_is_closed_as_well(tmp_path: Path) -> None:
    async def pouring(wire: UpstreamWire) -> None:
        await wire.request()
        await wire.send(SWITCH + b"hello")
        while True:
            wire.writer.write(bytes(2**16))
            await wire.writer.drain()

    async with (
        upstream(pouring) as app,
        running(tmp_path, ROUTES, app.url) as gateway,
        connected(gateway.port, buffer=4096) as client,
    ):
        news = know(gateway)
        await begun(client, get("/closed/ws", *UPGRADE, bearer=alice()))
        revoke(news, "alice")
        await eventually(lambda: not gateway.gateway.plane.connections)
        await eventually(lambda: app.gone)
        assert gateway.decisions("closed") == {"revoked_token": 1}


async def test_an_upload_under_way_is_refused(tmp_path: Path) -> None:
    async def reading(wire: UpstreamWire) -> None:
        await wire.head()
        await wire.closed(60)

    async with upstream(reading) as app, running(tmp_path, ROUTES, app.url) as gateway, connected(gateway.port) as up:
        news = know(gateway)
        await up.send(request("POST", "/closed/up", "Content-Length: 1000000", bearer=alice()) + b"x" * 10)
        await eventually(lambda: app.heads)
        revoke(news, "alice")
        assert (await up.answer()).status == 401


async def test_the_end_of_a_session_closes_its_websockets(tmp_path: Path) -> None:
    async with slow() as app, gate(tmp_path, app) as gateway, connected(gateway.port) as client:
        sessions = gateway.gateway.plane.snapshot.sessions
        assert sessions is not None
        hers, other = await log_in(gateway), await log_in(gateway)
        await begun(client, get("/plain/ws", *UPGRADE, bearer=hers.access_token))
        async with connected(gateway.port) as stays:
            await begun(stays, get("/plain/ws", *UPGRADE, bearer=other.access_token))
            await sessions.end(hers.session.sid, EndReason.LOGOUT)
            assert await client.closed() == b""
            assert await stays.silent(TICKS)
        assert gateway.decisions("plain")["revoked_token"] == 1


async def test_what_has_no_caller_goes_on(tmp_path: Path) -> None:
    async with slow() as app, running(tmp_path, ROUTES, app.url) as gateway, connected(gateway.port) as client:
        news = know(gateway)
        await begun(client, get("/public/stream", bearer=alice()))
        revoke(news, "alice")
        news.go_stale(3600)
        assert await client.silent(TICKS)


# --- news of revocations that is too old


@pytest.mark.parametrize(
    ("asked", "ends"),
    [
        (get("/closed/stream", bearer=alice()), True),
        (get("/closed/ws", *UPGRADE, bearer=alice()), True),
        (get("/open/stream", bearer=alice()), False),
        (get("/open/ws", *UPGRADE, bearer=alice()), False),
        (get("/hybrid/stream", bearer=alice()), False),
        (get("/hybrid/ws", *UPGRADE, bearer=alice()), True),
        (request("POST", "/hybrid/stream", bearer=alice()), True),
    ],
    ids=lambda value: None if isinstance(value, bool) else value.split(b" HTTP")[0].decode(),
)
async def test_stale_news_ends_what_the_route_would_not_let_begin(tmp_path: Path, asked: bytes, ends: bool) -> None:
    async with slow() as app, running(tmp_path, ROUTES, app.url) as gateway, connected(gateway.port) as client:
        news = know(gateway)
        await begun(client, asked)
        news.go_stale(31)
        if not ends:
            assert await client.silent(TICKS)
            return
        await client.closed()
        await eventually(lambda: app.gone)
        assert gateway.decisions(asked.split(b"/")[1].decode()) == {"stale_revocations": 1}


async def test_a_request_that_waits_when_the_news_gets_too_old_is_answered_503(tmp_path: Path) -> None:
    """C28"""
    async with slow() as app, running(tmp_path, ROUTES, app.url) as gateway, connected(gateway.port) as client:
        news = know(gateway)
        await client.send(get("/closed/silence", bearer=alice()))
        await eventually(lambda: app.requests)
        news.go_stale(31)
        answer = await client.answer()
        assert (answer.status, answer.one("WWW-Authenticate")) == (503, None)
        assert answer.one("Retry-After")
        assert (await client.ask(get("/closed/quick", bearer=alice()))).status == 503
        news.fresh()
        assert (await client.ask(get("/closed/quick", bearer=alice()))).status == 200


async def test_an_open_route_goes_on_with_a_mark_that_no_client_can_set(tmp_path: Path) -> None:
    async with slow() as app, running(tmp_path, ROUTES, app.url) as gateway, connected(gateway.port) as client:
        news = know(gateway)
        asked = get("/open/quick", "X-Auth-Degraded: 1", "x_auth_degraded: 1", bearer=alice())
        assert (await client.ask(asked)).status == 200
        news.go_stale(31)
        assert (await client.ask(asked)).status == 200
        marks = [[value for name, value in seen.headers if "egraded" in name] for seen in app.requests]
        assert marks == [[], ["1"]]
        assert gateway.decisions("open") == {"allow": 1, "allow_stale": 1}


# --- expiry


@pytest.mark.parametrize(
    ("what", "ends"), [("/closed/stream", True), ("/patient/stream", False), ("/closed/download", False)]
)
async def test_a_stream_ends_with_its_token_and_what_has_a_length_does_not(
    tmp_path: Path, what: str, ends: bool
) -> None:
    go_on = asyncio.Event()

    async def late(wire: UpstreamWire) -> None:
        await wire.request()
        await go_on.wait()
        framing = b"Content-Length: 100" if what.endswith("download") else b"Transfer-Encoding: chunked"
        first = b"hello" if what.endswith("download") else b"5\r\nhello\r\n"
        await wire.send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n" + first)
        await wire.closed(60)

    async with upstream(late) as app, running(tmp_path, ROUTES, app.url) as gateway, connected(gateway.port) as client:
        know(gateway)
        await client.send(get(what, bearer=token(exp=NOW + 10)))
        await eventually(lambda: app.requests)
        gateway.clock.now = NOW + 11
        go_on.set()
        await begun(client, b"")
        if not ends:
            assert await client.silent(TICKS)
            return
        with pytest.raises(Cut):
            await client.line()
        await eventually(lambda: app.gone)
        assert gateway.decisions("closed") == {"expired_token": 1}


async def test_a_stream_that_has_ended_is_not_ended_again(tmp_path: Path) -> None:
    async def script(wire: UpstreamWire) -> None:
        while True:
            await wire.request()
            await wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")

    async with (
        upstream(script) as app,
        running(tmp_path, ROUTES, app.url) as gateway,
        connected(gateway.port) as client,
    ):
        know(gateway)
        for _ in range(2):
            assert (await client.ask(get("/closed/x", bearer=token(exp=NOW + 1)))).body == b"ok"
        await asyncio.sleep(1 + TICKS)
        assert (await client.ask(get("/public/x"))).body == b"ok"
        assert gateway.decisions("closed") == {"allow": 2}


async def test_a_websocket_ends_with_its_token_and_the_log_says_so(tmp_path: Path) -> None:
    async with slow() as app, running(tmp_path, ROUTES, app.url) as gateway, connected(gateway.port) as client:
        know(gateway)
        await begun(client, get("/closed/ws", *UPGRADE, bearer=token(exp=NOW + 1)))
        assert await client.closed() == b""
        await eventually(lambda: app.gone)
        assert gateway.decisions("closed") == {"expired_token": 1}


async def test_a_websocket_may_outlive_its_token_for_a_while(tmp_path: Path) -> None:
    async with slow() as app, running(tmp_path, ROUTES, app.url) as gateway, connected(gateway.port) as client:
        know(gateway)
        await begun(client, get("/patient/ws", *UPGRADE, bearer=token(exp=NOW + 1)))
        assert await client.silent(1 + TICKS)
        assert gateway.gateway.plane.tunnels == 1
