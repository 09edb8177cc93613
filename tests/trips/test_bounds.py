"""Every bound on what clients send, at its edge: what is allowed passes, one more is refused, logged and counted."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from math import inf
from pathlib import Path

import pytest

from tests.trips.certificates import make_authority
from tests.trips.running import Running, get, request, running, token
from tests.trips.wire import OK, Client, UpstreamWire, answering, connected, eventually, upstream

AWHILE = 20.0
"""Seconds for what must come about."""
QUICK = "timeouts: {open: 0.4, head: 0.4, body: 0.6, keep_alive: 5}"


def cut(gateway: Running) -> dict[str, int]:
    """Return why connections were closed without a request."""
    return {str(why): count for why, count in gateway.gateway.plane.cuts.counts.items() if count}


def lines(capfd: pytest.CaptureFixture[str], reason: str) -> int:
    """Return how many lines of the logs tell of a reason."""
    output = capfd.readouterr()
    logged = [json.loads(line) for line in (output.out + output.err).splitlines()]
    return sum(line["reason"] == reason for line in logged)


async def drip(client: Client, byte: bytes, every: float = 0.1) -> None:
    """Send the same bytes again and again, until nobody takes them."""
    try:
        while True:
            await client.send(byte)
            await asyncio.sleep(every)
    except (OSError, TimeoutError):
        return


@asynccontextmanager
async def dripping(client: Client, byte: bytes) -> AsyncIterator[None]:
    task = asyncio.create_task(drip(client, byte))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


# --- sizes


def with_target(size: int) -> bytes:
    return get("/open/" + "x" * (size - len("/open/")))


def with_head(size: int) -> bytes:
    return get("/open/x", "X-Long: " + "x" * (size - len(get("/open/x", "X-Long: "))))


def with_headers(number: int) -> bytes:
    return get("/open/x", *(f"X-{index}: x" for index in range(number - 1)))


def with_body(size: int) -> bytes:
    return request("POST", "/open/x", body=b"x" * size)


def with_chunks(size: int) -> bytes:
    return request("POST", "/open/x", "Transfer-Encoding: chunked") + b"1\r\nx\r\n" * size + b"0\r\n\r\n"


@pytest.mark.parametrize(
    ("limit", "make", "most", "status", "reason"),
    [
        ("target_bytes", with_target, 500, 414, "oversized_target"),
        ("header_bytes", with_head, 2000, 431, "oversized_head"),
        ("headers", with_headers, 10, 431, "oversized_head"),
        ("body_bytes", with_body, 100, 413, "oversized_body"),
        ("body_bytes", with_chunks, 100, 413, "oversized_body"),
    ],
    ids=["target", "head", "headers", "body", "chunks"],
)
async def test_what_a_limit_allows_passes_and_one_more_is_refused(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    limit: str,
    make: Callable[[int], bytes],
    most: int,
    status: int,
    reason: str,
) -> None:
    text = f"{{limits: {{{limit}: {most}}}, log: {{level: warning}}}}"
    async with upstream() as app, running(tmp_path, text, app.url) as gateway:
        async with connected(gateway.port) as client:
            assert (await client.ask(make(most))).status == 200
        async with connected(gateway.port) as client:
            assert (await client.ask(make(most + 1))).status == status
        route = "open" if status == 413 else None
        assert gateway.decisions(route)[reason] == 1
    assert lines(capfd, reason) == 1


async def test_a_token_beyond_the_limit_is_not_looked_into(tmp_path: Path) -> None:
    good = token()
    for limit, status in ((len(good), 200), (len(good) - 1, 400)):
        text = f"limits: {{token_bytes: {limit}}}"
        async with upstream() as app, running(tmp_path, text, app.url) as gateway, connected(gateway.port) as client:
            assert (await client.ask(get("/api/x", bearer=good))).status == status


async def test_a_head_in_more_pieces_than_any_network_makes_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway, connected(gateway.port) as client:
        await client.send(b"GET /open/")
        await eventually(lambda: [each for each in gateway.gateway.plane.connections if each.reader.head_bytes])
        [connection] = gateway.gateway.plane.connections
        for _ in range(1100):
            connection.data_received(b"x")
        assert (await client.answer()).status == 431


async def test_tiny_chunks_arrive_whole(tmp_path: Path) -> None:
    async with upstream() as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        assert (await client.ask(with_chunks(20_000))).status == 200
        assert app.requests[0].body == b"x" * 20_000


# --- time: connections that are no request


async def test_a_connection_that_never_says_anything_is_closed_and_counted(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with running(tmp_path, f"{{{QUICK}, log: {{level: warning}}}}") as gateway:
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(connected(gateway.port)) for _ in range(5)]
            assert [await client.closed(AWHILE) for client in clients] == [b""] * 5
        assert cut(gateway) == {"silent": 5}
    assert lines(capfd, "silent") == 1  # and another, ten seconds later, for the other four


async def test_an_idle_connection_is_not_a_limit(tmp_path: Path) -> None:
    async with (
        upstream() as app,
        running(tmp_path, "timeouts: {keep_alive: 0.3}", app.url) as gateway,
        connected(gateway.port) as client,
    ):
        assert (await client.ask(get("/open/x"))).status == 200
        assert await client.closed(AWHILE) == b""
        assert cut(gateway) == {}


def over_tls(directory: Path) -> tuple[str, ssl.SSLContext]:
    """Return the setting of a TLS listener, and what its clients need."""
    authority = make_authority(directory)
    certificate, key = authority.issue("localhost")
    return f'listen: [{{address: "127.0.0.1:0", tls: {{certificate: {certificate}, key: {key}}}}}]', authority.client()


@pytest.mark.parametrize("data", [b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"])
async def test_a_tls_handshake_has_little_time(tmp_path: Path, data: bytes) -> None:
    async with running(tmp_path, f"{{{over_tls(tmp_path)[0]}, {QUICK}}}") as gateway, connected(gateway.port) as client:
        await client.send(data)
        await client.closed(AWHILE)
        await eventually(lambda: not gateway.gateway.plane.handshakes, AWHILE)
        assert gateway.gateway.plane.hall.connections == 0
        assert cut(gateway) == ({} if data.startswith(b"GET") else {"handshake": 1})


async def test_silence_after_a_tls_handshake_is_cut_too(tmp_path: Path) -> None:
    listen, trust = over_tls(tmp_path)
    async with running(tmp_path, f"{{{listen}, {QUICK}}}") as gateway, connected(gateway.port, trust) as client:
        await client.closed(AWHILE)
        assert cut(gateway) == {"silent": 1}
        assert gateway.gateway.plane.hall.connections == 0


# --- time: heads


@pytest.mark.parametrize(
    ("begun", "drop"), [(b"GET /", b"x"), (b"GET /open/x HTTP/1.1\r\n", b"X: y\r\n"), (b"\r\n", b"\r\n")]
)
async def test_a_head_in_drops_is_refused_after_its_time(tmp_path: Path, begun: bytes, drop: bytes) -> None:
    async with running(tmp_path, QUICK) as gateway, connected(gateway.port) as client:
        await client.send(begun)
        async with dripping(client, drop):
            assert (await client.answer()).status == 408
        assert gateway.decisions(None) == {"slow_request": 1}


async def test_a_head_that_begins_behind_another_request_has_no_more_time(tmp_path: Path) -> None:
    async with upstream() as app, running(tmp_path, QUICK, app.url) as gateway, connected(gateway.port) as client:
        assert (await client.ask(get("/open/x") + b"GET /op")).status == 200
        assert (await client.answer()).status == 408


async def test_a_head_that_begins_behind_a_slow_answer_has_its_time_after_it(tmp_path: Path) -> None:
    async def script(wire: UpstreamWire) -> None:
        await wire.request()
        await asyncio.sleep(1)
        await wire.send(OK)

    async with upstream(script) as app, running(tmp_path, QUICK, app.url) as gateway, connected(gateway.port) as client:
        assert (await client.ask(get("/open/x") + b"GET /op")).status == 200
        assert (await client.answer()).status == 408


# --- time: bodies

CHUNKED = request("POST", "/open/x", "Transfer-Encoding: chunked")


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (request("POST", "/open/x", "Content-Length: 100000"), b"x"),
        (CHUNKED, b"1\r\nx\r\n"),
        (CHUNKED + b"5;", b"x"),
        (CHUNKED + b"0\r\n", b"X: y\r\n"),
    ],
    ids=["length", "chunks", "extension", "trailers"],
)
async def test_a_body_in_drops_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], head: bytes, drop: bytes
) -> None:
    async def script(wire: UpstreamWire) -> None:
        await wire.head()
        await wire.closed(AWHILE)

    async with upstream(script) as app, running(tmp_path, QUICK, app.url) as gateway, connected(gateway.port) as client:
        await client.send(head)
        async with dripping(client, drop), asyncio.timeout(AWHILE):
            assert (await client.answer()).status == 408
        assert gateway.decisions("open") == {"slow_request": 1}
    assert lines(capfd, "slow_request") == 1


async def test_a_body_that_keeps_up_may_take_as_long_as_it_likes(tmp_path: Path) -> None:
    text = "{timeouts: {body: 2}, limits: {body_rate: 50}}"
    async with upstream() as app, running(tmp_path, text, app.url) as gateway, connected(gateway.port) as client:
        await client.send(request("POST", "/open/x", "Content-Length: 900"))
        for _ in range(30):
            await client.send(b"x" * 30)
            await asyncio.sleep(0.1)
        assert (await client.answer()).status == 200


async def test_a_client_does_not_pay_for_a_slow_upstream(tmp_path: Path) -> None:
    size = 16 * 2**20

    async def script(wire: UpstreamWire) -> None:
        head = await wire.head()
        await asyncio.sleep(2.5)
        await wire.body(head, to_the_end=False)
        await wire.send(OK)

    text = "{timeouts: {body: 0.6}, limits: {body_rate: 1MiB}}"
    async with upstream(script) as app, running(tmp_path, text, app.url) as gateway, connected(gateway.port) as client:
        client.writer.write(request("POST", "/open/x", f"Content-Length: {size}") + b"x" * size)
        async with asyncio.timeout(AWHILE):
            await client.writer.drain()
        assert (await client.answer()).status == 200


async def test_the_rest_of_a_refused_request_has_to_come_too(tmp_path: Path) -> None:
    async with running(tmp_path, QUICK) as gateway, connected(gateway.port) as client:
        assert (await client.ask(request("POST", "/nowhere", "Content-Length: 10000"))).status == 404
        async with dripping(client, b"x"):
            await client.closed(AWHILE)
        assert cut(gateway) == {"slow_rest": 1}


# --- time: answers


async def gush(wire: UpstreamWire) -> None:
    await wire.request()
    await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % 2**30)
    while True:
        await wire.send(b"x" * 65536)


async def test_a_reader_in_drops_is_cut(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async with (
        upstream(gush) as app,
        running(tmp_path, "{timeouts: {body: 0.6}, limits: {body_rate: 1MiB}}", app.url) as gateway,
        connected(gateway.port, buffer=4096) as client,
    ):
        await client.send(get("/open/x"))
        async with asyncio.timeout(AWHILE):
            try:
                while await client.reader.read(2000):
                    await asyncio.sleep(0.05)
            except ConnectionResetError:
                pass
        assert gateway.decisions("open") == {"slow_reader": 1}
        await eventually(lambda: app.gone)
    assert lines(capfd, "slow_reader") == 1


async def test_a_reader_that_keeps_up_is_not(tmp_path: Path) -> None:
    async with (
        upstream(gush) as app,
        running(tmp_path, "{timeouts: {body: 1}, limits: {body_rate: 1KiB}}", app.url) as gateway,
        connected(gateway.port, buffer=4096) as client,
    ):
        await client.send(get("/open/x"))
        for _ in range(50):
            await client.exactly(2000)
            await asyncio.sleep(0.05)
        assert gateway.decisions("open") == {}


async def test_the_kernel_does_not_keep_an_answer_for_those_who_do_not_read(tmp_path: Path) -> None:
    async with (
        upstream(gush) as app,
        running(tmp_path, "", app.url) as gateway,
        connected(gateway.port, buffer=4096) as client,
    ):
        await client.send(get("/open/x"))
        await eventually(lambda: gateway.gateway.plane.connections)
        [connection] = gateway.gateway.plane.connections
        await eventually(lambda: connection.transport.get_write_buffer_size() > 0)
        assert connection.relay is not None
        assert connection.relay.answer.body_bytes < 2**20


async def test_an_answer_that_was_the_last_must_be_taken_too(tmp_path: Path) -> None:
    big = b"HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\n\r\n" + b"x" * 4_000_000
    text = "timeouts: {body: 0.6}"
    async with (
        upstream(answering(big)) as app,
        running(tmp_path, text, app.url) as gateway,
        connected(gateway.port, buffer=4096) as client,
    ):
        await client.send(get("/open/x", "Connection: close"))
        await eventually(lambda: not gateway.gateway.plane.connections and app.requests, AWHILE)
        assert gateway.decisions("open").get("slow_reader", 0) + cut(gateway).get("slow_reader", 0) == 1


async def test_a_stream_with_nothing_to_say_is_not_slow(tmp_path: Path) -> None:
    async def script(wire: UpstreamWire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        await asyncio.sleep(1.6)
        await wire.send(b"data: 2\n\n")

    async with upstream(script) as app, running(tmp_path, QUICK, app.url) as gateway, connected(gateway.port) as client:
        await client.send(get("/open/x"))
        await client.head()
        assert [chunk async for chunk in client.chunks()] == [b"data: 1\n\n", b"data: 2\n\n"]


UPGRADE = get("/open/ws", "Connection: Upgrade", "Upgrade: websocket")
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


async def test_a_quiet_tunnel_is_not_slow(tmp_path: Path) -> None:
    async def script(wire: UpstreamWire) -> None:
        await wire.head()
        await wire.send(SWITCHED)
        await wire.exactly(1)
        await asyncio.sleep(1.6)
        await wire.send(b"late")

    async with upstream(script) as app, running(tmp_path, QUICK, app.url) as gateway, connected(gateway.port) as client:
        await client.send(UPGRADE)
        assert (await client.head()).status == 101
        await client.send(b"x")
        assert await client.exactly(4) == b"late"


async def test_a_client_that_takes_nothing_from_its_tunnel_is_cut(tmp_path: Path) -> None:
    async def script(wire: UpstreamWire) -> None:
        await wire.head()
        await wire.send(SWITCHED)
        while True:
            await wire.send(b"x" * 65536)

    async with (
        upstream(script) as app,
        running(tmp_path, QUICK, app.url) as gateway,
        connected(gateway.port, buffer=4096) as client,
    ):
        await client.send(UPGRADE)
        await eventually(lambda: gateway.decisions("open"), AWHILE)
        assert gateway.decisions("open") == {"slow_reader": 1}
        await eventually(lambda: not gateway.gateway.plane.connections)


# --- numbers


async def asked(stack: AsyncExitStack, gateway: Running, data: bytes) -> Client:
    """Return a client that has sent something."""
    client = await stack.enter_async_context(connected(gateway.port))
    return await client.send(data)


async def test_a_newcomer_gets_the_place_of_the_one_that_waited_longest(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        app = await stack.enter_async_context(upstream())
        gateway = await stack.enter_async_context(running(tmp_path, "limits: {connections: 3}", app.url))
        idle = await asked(stack, gateway, get("/open/1"))
        assert (await idle.answer()).status == 200
        silent = await stack.enter_async_context(connected(gateway.port))
        half = await asked(stack, gateway, b"GET /op")
        await eventually(lambda: len(gateway.gateway.plane.connections) == 3)
        for number, gone in enumerate((idle, silent, half), 1):
            newcomer = await asked(stack, gateway, get("/open/x"))
            assert (await newcomer.answer()).status == 200
            assert await gone.closed() == b""
            assert cut(gateway) == {"crowded_out": number}
            assert len(gateway.gateway.plane.connections) == 3


async def test_nobody_who_is_being_served_has_to_leave(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    answer = asyncio.Event()

    async def script(wire: UpstreamWire) -> None:
        await wire.request()
        await answer.wait()
        await wire.send(OK)

    async with AsyncExitStack() as stack:
        app = await stack.enter_async_context(upstream(script))
        gateway = await stack.enter_async_context(running(tmp_path, "limits: {connections: 2}", app.url))
        busy = [await asked(stack, gateway, get("/open/x")) for _ in range(2)]
        await eventually(lambda: len(app.requests) == 2)
        late = await stack.enter_async_context(connected(gateway.port))
        refused = await late.answer()
        assert (refused.status, refused.one("Retry-After"), refused.one("Connection")) == (503, "1", "close")
        assert gateway.decisions(None) == {"connection_limit": 1}
        answer.set()
        assert [(await client.answer()).status for client in busy] == [200, 200]
    assert lines(capfd, "connection_limit") == 1


async def test_a_flood_of_connections_never_holds_more_than_a_few_beyond_the_limit(tmp_path: Path) -> None:
    async def script(wire: UpstreamWire) -> None:
        await wire.request()
        await wire.closed(AWHILE)

    async with AsyncExitStack() as stack:
        app = await stack.enter_async_context(upstream(script))
        gateway = await stack.enter_async_context(running(tmp_path, "limits: {connections: 1}", app.url))
        await asked(stack, gateway, get("/open/x"))
        await eventually(lambda: app.requests)
        others = [await stack.enter_async_context(connected(gateway.port)) for _ in range(30)]
        for client in others[:-1]:
            await client.closed()
        assert sum(cut(gateway).values()) + gateway.decisions(None).get("connection_limit", 0) >= 29
        assert len(gateway.gateway.plane.connections) <= 12


async def test_handshakes_take_places_and_have_to_leave_them(tmp_path: Path) -> None:
    listen, trust = over_tls(tmp_path)
    async with AsyncExitStack() as stack:
        app = await stack.enter_async_context(upstream())
        gateway = await stack.enter_async_context(
            running(tmp_path, f"{{{listen}, limits: {{connections: 3}}}}", app.url)
        )
        silent = [await stack.enter_async_context(connected(gateway.port)) for _ in range(3)]
        await eventually(lambda: len(gateway.gateway.plane.handshakes) == 3)
        honest = await stack.enter_async_context(connected(gateway.port, trust))
        assert (await honest.ask(get("/open/x"))).status == 200
        assert await silent[0].closed() == b""
        assert cut(gateway) == {"crowded_out": 1}
        assert gateway.gateway.plane.hall.connections == 3


async def test_a_slow_upload_has_to_leave_before_a_quick_one(tmp_path: Path) -> None:
    async def script(wire: UpstreamWire) -> None:
        head = await wire.head()
        await wire.body(head, to_the_end=False)
        await wire.send(OK)

    upload = request("POST", "/open/x", "Content-Length: 100000")
    async with AsyncExitStack() as stack:
        app = await stack.enter_async_context(upstream(script))
        gateway = await stack.enter_async_context(running(tmp_path, "limits: {connections: 2}", app.url))
        quick, slow = await asked(stack, gateway, upload), await asked(stack, gateway, upload)
        await stack.enter_async_context(dripping(quick, b"x" * 1000))
        connections = gateway.gateway.plane.connections
        await eventually(lambda: len(app.heads) == 2)
        await eventually(lambda: any(each.waiting_since() < inf for each in connections), AWHILE)
        newcomer = await asked(stack, gateway, get("/open/x"))
        assert (await newcomer.answer()).status == 200
        await slow.closed()
        assert gateway.decisions("open")["slow_request"] == 1
        assert await quick.silent()


async def test_a_listener_has_a_limit_of_its_own(tmp_path: Path) -> None:
    async def script(wire: UpstreamWire) -> None:
        await wire.request()
        await wire.closed(AWHILE)

    listen = 'listen: [{address: "127.0.0.1:0", connections: 1}, {address: "127.0.0.2:0"}]'
    async with AsyncExitStack() as stack:
        app = await stack.enter_async_context(upstream(script))
        gateway = await stack.enter_async_context(running(tmp_path, listen, app.url))
        await asked(stack, gateway, get("/open/x"))
        await eventually(lambda: app.requests)
        late = await stack.enter_async_context(connected(gateway.port))
        assert (await late.answer()).status == 503
        port = gateway.gateway.listeners.sockets[1].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.2", port)
        writer.write(get("/nowhere"))
        assert (await reader.readline()).startswith(b"HTTP/1.1 404")
        writer.transport.abort()


@pytest.mark.parametrize(
    "text", ["limits: {requests: 2}", 'listen: [{address: "127.0.0.1:0", requests: 2}]'], ids=["all", "listener"]
)
async def test_so_many_requests_are_answered_at_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], text: str
) -> None:
    answer = asyncio.Event()

    async def script(wire: UpstreamWire) -> None:
        while True:
            await wire.request()
            await answer.wait()
            await wire.send(OK)

    async with AsyncExitStack() as stack:
        app = await stack.enter_async_context(upstream(script))
        gateway = await stack.enter_async_context(running(tmp_path, text, app.url))
        busy = [await asked(stack, gateway, get("/open/x")) for _ in range(2)]
        await eventually(lambda: len(app.requests) == 2)
        late = await asked(stack, gateway, get("/open/x"))
        refused = await late.answer()
        assert (refused.status, refused.one("Retry-After")) == (503, "1")
        answer.set()
        assert [(await client.answer()).status for client in busy] == [200, 200]
        assert (await late.ask(get("/open/x"))).status == 200
        assert sum(gateway.decisions(name).get("request_limit", 0) for name in (None, "open")) == 1
        assert gateway.gateway.plane.hall.requests == 0
    assert lines(capfd, "request_limit") == 1
