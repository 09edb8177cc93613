"""Clients that go away: the upstream is let go within a second, in every phase, and nobody tries again."""

import asyncio
import contextlib
import json
import random
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.issuing import Issuer
from tests.trips.certificates import make_authority
from tests.trips.running import Running, get, request, running, token
from tests.trips.test_upstreams import full_backlog
from tests.trips.wire import OK, Client, Cut, Script, Upstream, UpstreamWire, ask, connected, eventually, upstream

SOON = 1.2
"""The second that is promised, and what the test itself may take."""


def close(client: Client) -> None:
    client.writer.transport.abort()


LEAVE = pytest.mark.parametrize("leave", [close, Client.reset], ids=["close", "reset"])
Leave = Callable[[Client], None]


async def reading_nothing(wire: UpstreamWire) -> None:
    await wire.head()
    wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await asyncio.sleep(10)


async def waiting(wire: UpstreamWire) -> None:
    await wire.request()
    await wire.closed()


async def uploading(wire: UpstreamWire) -> None:
    await wire.head()
    await wire.closed()


async def quiet_stream(wire: UpstreamWire) -> None:
    await wire.request()
    await wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
    await wire.closed()


async def torrent(wire: UpstreamWire) -> None:
    await wire.request()
    await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    while True:
        await wire.send(b"x" * 65536)


async def let_go(gateway: Running, app: Upstream | None = None, route: str = "open") -> None:
    """Wait until the upstream is rid of the request and it is recorded as the client's departure."""
    if app is not None:
        await eventually(lambda: app.gone, SOON)
        assert app.connections == 1
    await eventually(lambda: gateway.decisions(route) == {"client_gone": 1}, SOON)
    await eventually(lambda: gateway.pool() == {"busy": 0, "idle": 0})
    assert not gateway.gateway.plane.connections


@LEAVE
async def test_while_the_answer_is_awaited(tmp_path: Path, leave: Leave) -> None:
    async with upstream(waiting) as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        await client.send(get("/open/x"))
        await eventually(lambda: app.requests)
        leave(client)
        await let_go(gateway, app)


@LEAVE
async def test_in_the_middle_of_a_quiet_answer(tmp_path: Path, leave: Leave) -> None:
    script = quiet_stream
    async with upstream(script) as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        assert (await client.send(get("/open/x"))) is client
        assert (await client.head()).status == 200
        await anext(aiter(client.chunks()))
        leave(client)
        await let_go(gateway, app)


@LEAVE
async def test_in_the_middle_of_a_torrent(tmp_path: Path, leave: Leave) -> None:
    async with upstream(torrent) as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        await client.send(get("/open/x"))
        await client.exactly(1_000_000)
        await asyncio.sleep(0.1)  # everything is full
        leave(client)
        await let_go(gateway, app)


@LEAVE
async def test_in_the_middle_of_the_upload(tmp_path: Path, leave: Leave) -> None:
    async with upstream(uploading) as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        await client.send(request("POST", "/open/x", "Content-Length: 1000") + b"half")
        await eventually(lambda: app.heads)
        leave(client)
        await let_go(gateway, app)


@LEAVE
async def test_while_the_upload_is_held_back(tmp_path: Path, leave: Leave) -> None:
    """The gateway does not read from the client then, so it must ask the kernel.

    Which knows only if everything that the client sent has reached it: no news come through a closed window.
    """
    async with (
        upstream(reading_nothing) as app,
        running(tmp_path, "", app.url) as gateway,
        connected(gateway.port) as client,
    ):
        await client.send(request("POST", "/open/x", "Content-Length: 100000000"))
        await eventually(lambda: app.heads)
        [connection] = gateway.gateway.plane.connections
        while connection.transport.is_reading():
            await client.send(b"x" * 20_000)
            await asyncio.sleep(0.001)
        leave(client)
        await eventually(lambda: gateway.decisions("open") == {"client_gone": 1}, SOON)
        await eventually(lambda: gateway.pool() == {"busy": 0, "idle": 0}, SOON)


@LEAVE
async def test_while_the_upstream_goes_too(tmp_path: Path, leave: Leave) -> None:
    """What is sent to a client that left comes back as a reset, before the gateway has closed its own side."""
    leaving = asyncio.Event()

    async def script(wire: UpstreamWire) -> None:
        await wire.head()
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await leaving.wait()
        wire.reset()

    async with upstream(script) as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        await client.send(request("POST", "/open/x", "Content-Length: 100000000"))
        await eventually(lambda: app.heads)
        [connection] = gateway.gateway.plane.connections
        while connection.transport.is_reading():
            await client.send(b"x" * 20_000)
            await asyncio.sleep(0.001)
        leave(client)
        leaving.set()
        await eventually(lambda: not gateway.gateway.plane.connections)
        assert gateway.pool() == {"busy": 0, "idle": 0}


@LEAVE
@pytest.mark.parametrize("data", [get("/open/x"), request("POST", "/open/x", "Content-Length: 9") + b"half"])
async def test_while_connecting(tmp_path: Path, leave: Leave, data: bytes) -> None:
    with full_backlog() as port:
        async with running(tmp_path, "", f"http://127.0.0.1:{port}") as gateway, connected(gateway.port) as client:
            await client.send(data)
            await eventually(lambda: gateway.pool()["busy"])
            leave(client)
            await let_go(gateway)


@LEAVE
async def test_while_waiting_for_a_connection(tmp_path: Path, leave: Leave) -> None:
    async with (
        upstream(waiting) as app,
        running(tmp_path, "app: {connections: 1}", app.url) as gateway,
        connected(gateway.port) as first,
        connected(gateway.port) as client,
    ):
        await first.send(get("/open/1"))
        await eventually(lambda: app.requests)
        await client.send(get("/open/2"))
        await eventually(lambda: len(gateway.gateway.plane.connections) == 2)
        await asyncio.sleep(0.05)
        leave(client)
        await eventually(lambda: gateway.decisions("open") == {"client_gone": 1}, SOON)
        assert len(app.requests) == 1


@LEAVE
async def test_while_deciding(tmp_path: Path, leave: Leave) -> None:
    issuer = Issuer()
    issuer.gate.clear()
    async with issuer.running(), upstream() as app:
        text = (
            "insecure: [http_issuer]\nauthenticators: {issuer: {type: jwt, issuer: 'https://gw.example',"
            f" audiences: ['https://api.example'], jwks_uri: '{issuer.jwks_uri}'}}}}"
        )
        async with running(tmp_path, text, app.url) as gateway, connected(gateway.port) as client:
            await client.send(get("/api/x", bearer=token()))
            await eventually(lambda: gateway.gateway.plane.connections)
            await asyncio.sleep(0.05)
            leave(client)
            await eventually(lambda: not gateway.gateway.plane.connections, SOON)
            assert sum(sum(gateway.decisions(route).values()) for route in ("api", None)) == 1
            assert app.connections == 0
        issuer.gate.set()


@pytest.mark.parametrize("script", [waiting, quiet_stream, torrent])
async def test_over_tls(tmp_path: Path, script: Script) -> None:
    authority = make_authority(tmp_path)
    certificate, key = authority.issue("localhost")
    text = f'listen: [{{address: "127.0.0.1:0", tls: {{certificate: {certificate}, key: {key}}}}}]'
    async with (
        upstream(script) as app,
        running(tmp_path, text, app.url) as gateway,
        connected(gateway.port, authority.client()) as client,
    ):
        await client.send(get("/open/x"))
        await eventually(lambda: app.requests)
        await asyncio.sleep(0.1)
        close(client)
        await let_go(gateway, app)


async def test_from_a_tunnel_over_tls(tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    certificate, key = authority.issue("localhost")
    text = f"""
listen: [{{address: "127.0.0.1:0", tls: {{certificate: {certificate}, key: {key}}}}}]
routes: [{{id: open, match: {{path: "/open/**"}}, upstream: app, access: public, upgrades: [websocket]}}]
"""

    async def script(wire: UpstreamWire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        await wire.closed()

    async with (
        upstream(script) as app,
        running(tmp_path, text, app.url) as gateway,
        connected(gateway.port, authority.client()) as client,
    ):
        assert (await client.ask(get("/open/x", "Connection: Upgrade", "Upgrade: websocket"))).status == 101
        close(client)
        await eventually(lambda: app.gone, SOON)
        await eventually(lambda: not gateway.gateway.plane.connections)
        assert gateway.pool() == {"busy": 0, "idle": 0}


async def test_the_access_log_says_499(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async with upstream(waiting) as app, running(tmp_path, "", app.url) as gateway:
        async with connected(gateway.port) as client:
            await client.send(get("/open/x"))
            await eventually(lambda: app.requests)
        await let_go(gateway, app)
    line = json.loads(capfd.readouterr().out)
    assert (line["status"], line["reason"], line["route"]) == (499, "client_gone", "open")


async def test_a_pipelined_request_of_a_client_that_left_is_never_sent(tmp_path: Path) -> None:
    async with upstream(waiting) as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        await client.send(get("/open/1") + get("/open/2"))
        await eventually(lambda: app.requests)
        close(client)
        await let_go(gateway, app)
        assert [seen.target for seen in app.requests] == ["/open/1"]


# --- clients that close only their own side


@pytest.mark.parametrize(
    "data", [get("/open/x"), request("POST", "/open/x", body=b"x" * 5000), get("/open/1") + get("/open/x")]
)
async def test_a_half_closed_client_gets_a_quick_answer(tmp_path: Path, data: bytes) -> None:
    async def script(wire: UpstreamWire) -> None:
        while True:
            await wire.request()
            await asyncio.sleep(0.05)
            await wire.send(OK)

    async with upstream(script) as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        await client.send(data)
        client.finish()
        answer = await client.rest()
        assert answer.count(b"HTTP/1.1 200 OK") == data.count(b"HTTP/1.1")
        assert answer.endswith(b"ok")


async def test_a_half_closed_client_gets_its_refusal(tmp_path: Path) -> None:
    async with upstream() as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        await client.send(get("/api/x"))
        client.finish()
        assert (await client.rest()).startswith(b"HTTP/1.1 401 ")


async def test_a_half_closed_client_gets_a_big_answer_that_it_takes(tmp_path: Path) -> None:
    async def script(wire: UpstreamWire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6400000\r\n\r\n")
        for _ in range(20):
            await wire.send(b"x" * 320_000)
            await asyncio.sleep(0.05)

    async with upstream(script) as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        await client.send(get("/open/x"))
        client.finish()
        assert len((await client.answer()).body) == 6_400_000


async def test_a_half_closed_client_in_the_middle_of_its_request_is_gone(tmp_path: Path) -> None:
    async with upstream(uploading) as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        await client.send(request("POST", "/open/x", "Content-Length: 1000") + b"half")
        await eventually(lambda: app.heads)
        client.finish()
        await let_go(gateway, app)


async def test_the_place_of_who_left_is_free_for_others(tmp_path: Path) -> None:
    async def script(wire: UpstreamWire) -> None:
        seen = await wire.request()
        if seen.target == "/open/stuck":
            await wire.closed()
        else:
            await wire.send(OK)

    async with upstream(script) as app, running(tmp_path, "app: {connections: 1}", app.url) as gateway:
        for _ in range(2):
            async with connected(gateway.port) as client:
                await client.send(get("/open/stuck"))
                await eventually(lambda: gateway.pool()["busy"])
            assert (await ask(gateway.port, get("/open/x"))).status == 200


async def test_a_client_that_connects_and_leaves_is_nothing(tmp_path: Path) -> None:
    async with upstream() as app, running(tmp_path, "", app.url) as gateway:
        for _ in range(10):
            with socket.create_connection(("127.0.0.1", gateway.port)):
                pass
        await eventually(lambda: not gateway.gateway.plane.connections)
        assert gateway.decisions(None) == {}
        assert app.connections == 0


# --- all at once


class Mischief:
    """Upstreams and clients that do every wrong thing, by chance, but the same in each run."""

    def __init__(self) -> None:
        self.chance = random.Random(20)

    async def serve(self, wire: UpstreamWire) -> None:
        goes_on = True
        while goes_on:
            body = (await wire.request()).target.encode()
            whole = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            chunk = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(body), body)
            answer, goes_on = self.chance.choice(
                [
                    (whole, True),
                    (whole, True),
                    (chunk + b"0\r\n\r\n", True),
                    (whole, False),
                    (b"HTTP/1.1 200 OK\r\n\r\n" + body, False),
                    (chunk, False),
                    (b"", False),
                    (whole + whole.replace(body, b"x" * len(body)), True),
                ]
            )
            await asyncio.sleep(self.chance.random() * 0.005)
            await wire.send(answer)

    async def visit(self, port: int, number: int) -> None:
        async with connected(port) as client:
            for turn in range(8):
                path = f"/open/{number}/{turn}"
                whole = [get(path), request("POST", path, body=b"y" * 3000)]
                bad = [request("POST", path, "Content-Length: 9") + b"half", get(path)]
                if self.chance.random() < 0.2:
                    await client.send(self.chance.choice(bad))
                    await asyncio.sleep(self.chance.random() * 0.005)
                    self.chance.choice([close, Client.reset])(client)
                    return
                answer = await client.ask(self.chance.choice(whole))
                assert answer.status in (200, 502)
                assert answer.status != 200 or answer.body == path.encode()


async def test_in_a_crowd_no_place_is_lost_and_nobody_gets_anothers_answer(tmp_path: Path) -> None:
    mischief = Mischief()

    async def visit(number: int) -> None:
        with contextlib.suppress(Cut, ConnectionError):
            await mischief.visit(gateway.port, number)

    text = "app: {connections: 5, queue: 500}"
    async with upstream(mischief.serve) as app, running(tmp_path, text, app.url) as gateway:
        for crowd in range(3):
            await asyncio.gather(*(visit(crowd * 50 + number) for number in range(50)))
        await eventually(lambda: not gateway.gateway.plane.connections)
        await eventually(lambda: gateway.pool()["busy"] == 0)
        assert len(app.requests) > 200
        assert "internal_error" not in gateway.decisions("open")
