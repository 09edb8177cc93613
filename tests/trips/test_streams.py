"""Answers that come bit by bit, and bodies of any size: nothing is held back, and nothing is piled up."""

import asyncio
import json
import socket
import time
from pathlib import Path

import httpx
import pytest

from gateway.proxy.client import ClientConnection
from tests.minting import access_claims
from tests.trips.running import KEY, Running, get, request, running
from tests.trips.servers import gateway_process
from tests.trips.wire import OK, UpstreamWire, answering, connected, eventually, upstream

GIB = 2**30
PIECE = bytes(2**18)
ONE_LOOP = pytest.mark.asyncio(loop_factories=["asyncio"])
"""The gateway is a process of its own here, with its own loop."""


async def test_events_arrive_one_by_one(tmp_path: Path) -> None:
    go_on = asyncio.Event()

    async def script(wire: UpstreamWire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(5):
            event = b"data: %d\n\n" % number
            await wire.send(b"%x\r\n%b\r\n" % (len(event), event))
            await go_on.wait()
            go_on.clear()
        await wire.send(b"0\r\n\r\n")

    async with upstream(script) as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        await client.send(get("/open/events"))
        assert (await client.head()).one("Content-Type") == "text/event-stream"
        events = []
        async for event in client.chunks():
            events.append(event)
            go_on.set()  # the next one is sent only when this one is here
        assert events == [b"data: %d\n\n" % number for number in range(5)]


async def test_the_head_of_a_stream_arrives_before_its_first_event(tmp_path: Path) -> None:
    async def script(wire: UpstreamWire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        await wire.closed()

    async with upstream(script) as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        await client.send(get("/open/events"))
        assert (await client.head()).status == 200


async def test_httpbin_drips_through(tmp_path: Path, httpbin: str) -> None:
    text = 'routes: [{id: all, match: {path: "/**"}, upstream: app, access: public}]'
    async with (
        running(tmp_path, text, httpbin) as gateway,
        httpx.AsyncClient() as client,
        client.stream("GET", f"{gateway.url}/drip?numbytes=4&duration=0.4&delay=0") as answer,
    ):
        arrivals = [time.monotonic() async for _ in answer.aiter_raw()]
        assert len(arrivals) >= 3
        assert arrivals[-1] - arrivals[0] > 0.15


async def test_a_long_poll_waits_for_its_answer(tmp_path: Path) -> None:
    async def script(wire: UpstreamWire) -> None:
        await wire.request()
        await asyncio.sleep(1.5)
        await wire.send(OK)

    text = "timeouts: {head: 0.5, body: 0.5, keep_alive: 0.5}"
    async with upstream(script) as app, running(tmp_path, text, app.url) as gateway, connected(gateway.port) as client:
        assert (await client.ask(get("/open/poll"))).body == b"ok"


async def test_an_upload_flows_while_the_client_still_sends(tmp_path: Path) -> None:
    async def script(wire: UpstreamWire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        async for piece in wire.chunks():
            await wire.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        await wire.send(b"0\r\n\r\n")

    async with upstream(script) as app, running(tmp_path, "", app.url) as gateway, connected(gateway.port) as client:
        await client.send(request("POST", "/open/echo", "Transfer-Encoding: chunked"))
        assert (await client.head()).status == 200
        echo = aiter(client.chunks())
        for word in (b"one", b"two", b"three"):
            await client.send(b"%x\r\n%b\r\n" % (len(word), word))
            assert await anext(echo) == word
        await client.send(b"0\r\n\r\n")
        assert [piece async for piece in echo] == []


async def test_a_slow_upload_arrives(tmp_path: Path) -> None:
    text = "{timeouts: {body: 0.6, head: 0.5}, limits: {body_rate: 0}}"
    async with upstream() as app, running(tmp_path, text, app.url) as gateway, connected(gateway.port) as client:
        await client.send(request("POST", "/open/x", "Content-Length: 5"))
        for byte in b"hello":
            await asyncio.sleep(0.25)
            await client.send(bytes((byte,)))
        assert (await client.answer()).status == 200
        assert app.requests[0].body == b"hello"


async def test_a_slow_reader_holds_the_upstream_back(tmp_path: Path) -> None:
    sent = 0

    async def script(wire: UpstreamWire) -> None:
        nonlocal sent
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 * 2**20))
        for _ in range(256):
            await wire.send(PIECE)
            sent += len(PIECE)

    async with (
        upstream(script) as app,
        running(tmp_path, "", app.url) as gateway,
        connected(gateway.port, buffer=8192) as client,
    ):
        await client.send(get("/open/x"))
        await asyncio.sleep(0.3)
        before = sent
        await asyncio.sleep(0.2)
        assert sent == before < 32 * 2**20  # what fits into the kernel's buffers
        [connection] = gateway.gateway.plane.connections
        assert connection.transport.get_write_buffer_size() < 2**20
        head = await client.head()
        left = int(head.one("Content-Length") or 0)
        while left:
            left -= len(await client.reader.read(2**20))


async def test_a_reader_that_stops_is_cut(tmp_path: Path) -> None:
    async def script(wire: UpstreamWire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % GIB)
        while True:
            await wire.send(PIECE)

    async with (
        upstream(script) as app,
        running(tmp_path, "timeouts: {body: 0.3}", app.url) as gateway,
        connected(gateway.port, buffer=8192) as client,
    ):
        await client.send(get("/open/x"))
        await eventually(lambda: app.gone)
        assert gateway.decisions("open") == {"slow_reader": 1}


async def test_a_reader_that_leaves_only_a_little_unread_is_cut_too(tmp_path: Path) -> None:
    async with (
        upstream(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n" + b"x" * 60_000)) as app,
        running(tmp_path, "timeouts: {keep_alive: 0.3, body: 0.3}", app.url) as gateway,
        connected(gateway.port, buffer=8192) as client,
    ):
        [connection] = await accepted(gateway)
        sock = connection.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        await client.send(get("/open/x"))
        await eventually(lambda: gateway.decisions("open"))
        assert 0 < connection.transport.get_write_buffer_size() < 65536
        await eventually(lambda: not gateway.gateway.plane.connections)


async def accepted(gateway: Running) -> set[ClientConnection]:
    await eventually(lambda: gateway.gateway.plane.connections)
    return gateway.gateway.plane.connections


# --- a GiB each way


def bearer() -> str:
    return KEY.sign(access_claims(time.time()))


async def swallow(wire: UpstreamWire) -> None:
    head = await wire.head()
    left, chunked = int(head.one("Content-Length") or 0), head.one("Transfer-Encoding")
    size = 0
    while left > size or chunked:
        piece = await wire.reader.read(2**20)
        size += len(piece)
        if chunked and piece.endswith(b"\r\n0\r\n\r\n"):
            break
    body = json.dumps(size).encode()
    await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    await wire.closed()


async def gush(wire: UpstreamWire) -> None:
    await wire.request()
    await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % GIB)
    for _ in range(GIB // len(PIECE)):
        wire.writer.write(PIECE)
        await wire.writer.drain()
    await wire.closed()


@ONE_LOOP
async def test_uploads_of_a_gib_take_no_memory(tmp_path: Path) -> None:
    async with upstream(swallow) as app:
        with gateway_process(tmp_path, "", app.url) as gateway:
            before = gateway.memory("VmRSS")
            async with connected(gateway.port) as client:
                await client.send(request("POST", "/api/x", f"Content-Length: {GIB}", bearer=bearer()))
                for _ in range(GIB // len(PIECE)):
                    client.writer.write(PIECE)
                    await client.writer.drain()
                assert json.loads((await client.answer()).body) == GIB
            assert gateway.memory("VmHWM") < before + 32


@ONE_LOOP
async def test_downloads_of_a_gib_take_no_memory(tmp_path: Path) -> None:
    async with upstream(gush) as app:
        with gateway_process(tmp_path, "", app.url) as gateway:
            before = gateway.memory("VmRSS")
            async with connected(gateway.port) as client:
                head = await (await client.send(get("/api/x", bearer=bearer()))).head()
                left = int(head.one("Content-Length") or 0)
                assert left == GIB
                while left:
                    left -= len(await client.reader.read(2**20))
            assert gateway.memory("VmHWM") < before + 32
