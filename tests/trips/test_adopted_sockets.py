"""A process that takes connections from the sockets of another one as well, for a while."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.trips.certificates import make_authority
from tests.trips.running import Running, get, running
from tests.trips.wire import OK, UpstreamWire, connected, eventually, upstream

NUMBER = 7
"""Of the other process."""


@pytest.fixture
def other() -> Iterator[socket.socket]:
    """The socket of another process, which does not accept."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.setblocking(False)
        yield sock


async def answer(wire: UpstreamWire) -> None:
    while True:
        await wire.request()
        await wire.send(OK)


async def adopt(gateway: Running, other: socket.socket) -> None:
    listener = gateway.gateway.snapshot.config.listen[0]
    await gateway.gateway.listeners.adopt(NUMBER, {listener.address: other})


async def test_connections_are_taken_from_then_on_and_those_that_are_there_stay_afterwards(
    tmp_path: Path, other: socket.socket
) -> None:
    port = other.getsockname()[1]
    async with upstream(answer) as app, running(tmp_path, "", app.url) as gateway, connected(port) as early:
        await early.send(get("/open/x"))
        await adopt(gateway, other)
        assert (await early.answer()).status == 200
        await gateway.gateway.listeners.leave(NUMBER)
        assert (await early.ask(get("/open/x"))).status == 200
        async with connected(port) as late:
            await late.send(get("/open/x"))
            assert await late.silent(0.3)
            taken, _ = other.accept()  # it is for whoever serves the socket next
            taken.close()
        async with connected(gateway.port) as client:
            assert (await client.ask(get("/open/x"))).status == 200


async def test_a_drain_empties_their_queues(tmp_path: Path, other: socket.socket) -> None:
    async with upstream(answer) as app:
        run = running(tmp_path, "", app.url)
        gateway = await run.__aenter__()
        await adopt(gateway, other)
        with socket.create_connection(other.getsockname()) as client:
            client.sendall(get("/open/x"))
            await run.__aexit__(None, None, None)  # nothing has looked at the socket since
            client.settimeout(10)
            assert client.recv(100).startswith(b"HTTP/1.1 200")


async def test_after_the_drain_nothing_is_adopted(tmp_path: Path, other: socket.socket) -> None:
    async with upstream(answer) as app, running(tmp_path, "", app.url) as gateway:
        await gateway.gateway.drain()
        await adopt(gateway, other)
        with socket.create_connection(other.getsockname()):
            await asyncio.sleep(0.1)
            other.accept()[0].close()


async def test_a_handshake_that_is_under_way_outlasts_the_end_of_an_adoption(
    tmp_path: Path, other: socket.socket
) -> None:
    authority = make_authority(tmp_path)
    certificate, key = authority.issue("localhost")
    tls = f"listen: [{{address: '127.0.0.1:0', tls: {{certificate: {certificate}, key: {key}}}}}]"
    async with upstream(answer) as app, running(tmp_path, tls, app.url) as gateway:
        await adopt(gateway, other)
        reader, writer = await asyncio.open_connection(*other.getsockname())
        try:
            await eventually(lambda: len(gateway.gateway.plane.handshakes) == 1)
            await gateway.gateway.listeners.leave(NUMBER)
            await writer.start_tls(authority.client(), server_hostname="localhost")
            writer.write(get("/open/x"))
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        finally:
            writer.close()
