"""WebSockets and other upgrades: real clients and servers through the gateway, and what the bytes around them do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from tests.minting import NOW
from tests.trips.running import Running, get, request, running, token
from tests.trips.wire import OK, UpstreamWire, connected, eventually, upstream

GATE = """
routes:
  - {id: open, match: {path: "/open/**"}, upstream: app, access: public}
  - {id: api, match: {path: "/api/**"}, upstream: app}
  - {id: browser, match: {path: "/browser/**"}, upstream: app, token_from: [{subprotocol: bearer.}]}
  - {id: cookie, match: {path: "/cookie/**"}, upstream: app,
     token_from: [{cookie: session, origins: ["https://app.example"]}]}
authenticators:
  issuer: {type: jwt, issuer: "https://gw.example", audiences: ["https://api.example"], jwks_file: keys.json, leeway: 0}
"""
UPGRADE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


async def talk(connection: ServerConnection) -> None:
    """Echo, and say what was seen when asked."""
    assert connection.request is not None
    async for message in connection:
        if message == "who":
            await connection.send(connection.request.headers.get("X-User-Id", "nobody"))
        elif message == "headers":
            await connection.send(
                "\n".join(f"{name}: {value}" for name, value in connection.request.headers.raw_items())
            )
        elif message == "bye":
            await connection.close(4001, "as you wish")
        else:
            await connection.send(message)


@asynccontextmanager
async def chat(directory: Path, *subprotocols: str) -> AsyncIterator[tuple[Server, Running]]:
    spoken = [Subprotocol(name) for name in subprotocols] or None
    async with serve(talk, "127.0.0.1", 0, max_size=None, subprotocols=spoken) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with running(directory, GATE, f"http://127.0.0.1:{port}") as gateway:
            yield server, gateway


def dial(gateway: Running, path: str, bearer: str | None = None, **options: Any) -> connect:
    headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
    url = gateway.url.replace("http", "ws") + path
    return connect(url, additional_headers=headers, max_size=None, proxy=None, **options)


async def test_messages_of_every_kind_pass_both_ways(tmp_path: Path) -> None:
    async with chat(tmp_path) as (_, gateway), dial(gateway, "/api/ws", token()) as client:
        for message in ("hello", "한글", "", b"bytes", bytes(range(256)) * 100, "x" * 70_000):
            await client.send(message)
            assert await client.recv() == message
        await client.send("who")
        assert await client.recv() == "alice"
        await client.send(["in ", "pieces"])
        assert await client.recv() == "in pieces"
        assert gateway.gateway.plane.tunnels == 1


async def test_a_big_message_passes(tmp_path: Path) -> None:
    async with chat(tmp_path) as (_, gateway), dial(gateway, "/open/ws", compression=None) as client:
        big = bytes(16 * 2**20)
        await client.send(big)
        assert await client.recv() == big


async def test_pings_reach_the_server_itself(tmp_path: Path) -> None:
    async with chat(tmp_path) as (_, gateway), dial(gateway, "/open/ws") as client:
        async with asyncio.timeout(2):
            assert await (await client.ping(b"are you there")) >= 0


async def test_close_codes_pass_both_ways(tmp_path: Path) -> None:
    async with chat(tmp_path) as (server, gateway):
        async with dial(gateway, "/open/ws") as client:
            await client.send("bye")
            with pytest.raises(ConnectionClosed):
                await client.recv()
            assert (client.close_code, client.close_reason) == (4001, "as you wish")
        async with dial(gateway, "/open/ws") as client:
            [seen] = server.connections
            await client.close(4002, "I leave")
            await eventually(lambda: seen.close_code == 4002)
        await eventually(lambda: gateway.gateway.plane.tunnels == 0)
        assert gateway.pool() == {"busy": 0, "idle": 0}


@pytest.mark.parametrize(
    ("path", "bearer", "status"),
    [("/api/ws", None, 401), ("/api/ws", token(exp=NOW - 1), 401), ("/api/ws", "junk", 401), ("/nowhere", None, 404)],
)
async def test_a_refusal_comes_before_the_upgrade(tmp_path: Path, path: str, bearer: str | None, status: int) -> None:
    """C29"""
    async with upstream() as app, running(tmp_path, GATE, app.url) as gateway:
        with pytest.raises(InvalidStatus) as refused:
            await dial(gateway, path, bearer).__aenter__()
        assert refused.value.response.status_code == status
        assert refused.value.response.headers["Cache-Control"] == "no-store"
        assert app.connections == 0


async def test_a_token_in_a_subprotocol_is_taken_out(tmp_path: Path) -> None:
    async with chat(tmp_path, "chat") as (_, gateway):
        secret = token()
        offer = [Subprotocol(f"bearer.{secret}"), Subprotocol("chat"), Subprotocol("other")]
        async with dial(gateway, "/browser/ws", subprotocols=offer) as client:
            assert client.subprotocol == "chat"
            await client.send("who")
            assert await client.recv() == "alice"
            await client.send("headers")
            headers = str(await client.recv())
            assert secret not in headers
            assert "sec-websocket-protocol: chat, other" in headers.lower()


async def test_a_cookie_opens_a_websocket_only_from_the_right_origin(tmp_path: Path) -> None:
    async with upstream() as app, running(tmp_path, GATE, app.url) as gateway, connected(gateway.port) as client:
        cookie = f"Cookie: session={token()}"
        for origin in ([], ["Origin: https://evil.example"], ["Origin: null"], ["Origin: https://app.example.evil"]):
            answer = await client.ask(get("/cookie/ws", *UPGRADE, cookie, *origin))
            assert answer.status == 403
        assert app.connections == 0
    async with chat(tmp_path) as (_, gateway):
        headers = {"Cookie": f"session={token()}"}
        url = gateway.url.replace("http", "ws") + "/cookie/ws"
        async with connect(url, additional_headers=headers, origin="https://app.example", proxy=None) as dialled:  # type: ignore[arg-type]
            await dialled.send("headers")
            assert "cookie" not in str(await dialled.recv()).lower()


async def test_an_upgrade_that_the_upstream_declines_leaves_the_connection_usable(tmp_path: Path) -> None:
    async def script(wire: UpstreamWire) -> None:
        while True:
            seen = await wire.request()
            status = 426 if seen.one("Upgrade") else 200
            await wire.send(b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\nno" % status)

    async with upstream(script) as app, running(tmp_path, GATE, app.url) as gateway, connected(gateway.port) as client:
        for _ in range(2):
            answer = await client.ask(get("/open/ws", *UPGRADE))
            assert (answer.status, answer.body) == (426, b"no")
            assert (await client.ask(get("/open/x"))).status == 200
        await client.send(get("/open/ws", *UPGRADE) + get("/open/y"))
        assert [(await client.answer()).status for _ in range(2)] == [426, 200]
        assert app.connections == 1


async def test_a_refused_upgrade_leaves_the_connection_usable(tmp_path: Path) -> None:
    async with upstream() as app, running(tmp_path, GATE, app.url) as gateway, connected(gateway.port) as client:
        await client.send(get("/api/ws", *UPGRADE) + get("/open/x"))
        assert [(await client.answer()).status for _ in range(2)] == [401, 200]
        assert [seen.target for seen in app.requests] == ["/open/x"]


async def test_a_long_row_of_refused_upgrades_is_answered(tmp_path: Path) -> None:
    row = get("/api/ws", *UPGRADE) + request("POST", "/api/ws", *UPGRADE, body=b"x")
    async with upstream() as app, running(tmp_path, GATE, app.url) as gateway, connected(gateway.port) as client:
        await client.send(row * 500 + get("/open/x"))
        assert [(await client.answer()).status for _ in range(1001)] == [401] * 1000 + [200]
        assert [seen.target for seen in app.requests] == ["/open/x"]


async def echoing(wire: UpstreamWire) -> None:
    await wire.request()
    await wire.send(SWITCH + b"hello")
    while data := await wire.reader.read(65536):
        await wire.send(data)


async def test_bytes_that_come_with_the_upgrade_are_not_lost(tmp_path: Path) -> None:
    async with upstream(echoing) as app, running(tmp_path, GATE, app.url) as gateway, connected(gateway.port) as client:
        await client.send(get("/open/ws", *UPGRADE) + b"early bytes")
        head = await client.head()
        assert (head.status, head.one("Connection"), head.one("Upgrade")) == (101, "Upgrade", "websocket")
        assert await client.exactly(16) == b"helloearly bytes"
        await client.send(b"\x00\xff" * 500_000)
        assert await client.exactly(1_000_000) == b"\x00\xff" * 500_000
        seen = app.requests[0]
        assert (seen.one("Connection"), seen.one("Upgrade")) == ("Upgrade", "websocket")


async def test_requests_before_an_upgrade_are_answered_first(tmp_path: Path) -> None:
    async def script(wire: UpstreamWire) -> None:
        seen = await wire.request()
        if seen.one("Upgrade") is None:
            await asyncio.sleep(0.05)
            await wire.send(OK)
            seen = await wire.request()
        await wire.send(SWITCH + b"hello")
        await wire.closed()

    async with upstream(script) as app, running(tmp_path, GATE, app.url) as gateway, connected(gateway.port) as client:
        await client.send(get("/open/x") + get("/open/ws", *UPGRADE) + b"early")
        assert (await client.answer()).body == b"ok"
        assert (await client.head()).status == 101
        assert await client.exactly(5) == b"hello"


async def test_a_tunnel_ends_when_the_token_does(tmp_path: Path) -> None:
    async with upstream(echoing) as app, running(tmp_path, GATE, app.url) as gateway, connected(gateway.port) as client:
        await client.send(get("/api/ws", *UPGRADE, bearer=token(exp=NOW + 1)))
        assert (await client.head()).status == 101
        for _ in range(5):  # traffic does not keep it alive
            await client.send(b"x")
            await asyncio.sleep(0.1)
        await client.closed(within=1.5)
        await eventually(lambda: app.gone)
        assert gateway.gateway.plane.tunnels == 0


async def test_an_idle_tunnel_ends(tmp_path: Path) -> None:
    text = GATE + "app: {timeouts: {idle: 0.6}}"
    async with upstream(echoing) as app, running(tmp_path, text, app.url) as gateway, connected(gateway.port) as client:
        await client.send(get("/open/ws", *UPGRADE))
        assert (await client.head()).status == 101
        await client.exactly(5)
        for _ in range(4):
            await client.send(b"x")
            assert await client.exactly(1) == b"x"
            await asyncio.sleep(0.25)
        assert await client.closed(within=2) == b""
        await eventually(lambda: app.gone)


async def test_a_tunnel_ends_with_the_client(tmp_path: Path) -> None:
    async with upstream(echoing) as app, running(tmp_path, GATE, app.url) as gateway:
        async with connected(gateway.port) as client:
            await client.send(get("/open/ws", *UPGRADE))
            await client.head()
        await eventually(lambda: app.gone, 1)
        await eventually(lambda: gateway.decisions("open") == {"allow": 1})
        assert gateway.pool() == {"busy": 0, "idle": 0}


async def test_a_tunnel_ends_with_the_upstream_after_its_last_bytes(tmp_path: Path) -> None:
    async def script(wire: UpstreamWire) -> None:
        await wire.request()
        await wire.send(SWITCH)
        await wire.send(b"x" * 3_000_000)

    async with upstream(script) as app, running(tmp_path, GATE, app.url) as gateway, connected(gateway.port) as client:
        await client.send(get("/open/ws", *UPGRADE))
        assert (await client.head()).status == 101
        assert len(await client.rest()) == 3_000_000


async def test_a_tunnel_holds_back_who_is_too_fast(tmp_path: Path) -> None:
    sent = 0

    async def script(wire: UpstreamWire) -> None:
        nonlocal sent
        await wire.request()
        await wire.send(SWITCH)
        for _ in range(64):
            await wire.send(bytes(2**20))
            sent += 2**20

    async with (
        upstream(script) as app,
        running(tmp_path, GATE, app.url) as gateway,
        connected(gateway.port, buffer=8192) as client,
    ):
        await client.send(get("/open/ws", *UPGRADE))
        await client.head()
        await asyncio.sleep(0.3)
        assert sent < 32 * 2**20
        [connection] = gateway.gateway.plane.connections
        assert connection.transport.get_write_buffer_size() < 2**20
        client.writer.transport.abort()
        await eventually(lambda: app.gone)


async def test_many_websockets_at_once(tmp_path: Path) -> None:
    async def one(gateway: Running, number: int) -> bool:
        client: ClientConnection
        async with dial(gateway, "/open/ws") as client:
            for turn in range(5):
                await client.send(f"{number}/{turn}")
                if await client.recv() != f"{number}/{turn}":
                    return False
        return True

    async with chat(tmp_path) as (_, gateway):
        assert all(await asyncio.gather(*(one(gateway, number) for number in range(30))))
        await eventually(lambda: gateway.gateway.plane.tunnels == 0)
