"""Connections inside the process do what connections through the kernel do."""

import asyncio
import gc
import weakref
from typing import cast

import pytest

from gateway.proxy.inside import Inside

MANY = 300_000
"""More bytes than a connection holds without asking for a pause."""


class Speaker(asyncio.Protocol):
    """One side: notes what happens to it."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.read = b""
        self.said: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.said.append("made")

    def data_received(self, data: bytes) -> None:
        assert type(data) is bytes
        self.read += data

    def eof_received(self) -> None:
        self.said.append("eof")

    def connection_lost(self, error: Exception | None) -> None:
        self.said.append("lost" if error is None else type(error).__name__)

    def pause_writing(self) -> None:
        self.said.append("pause")

    def resume_writing(self) -> None:
        self.said.append("resume")


def connected() -> tuple[Speaker, Speaker]:
    """Return client and server."""
    client, server, place = Speaker(), Speaker(), Inside()
    place.server = lambda: server
    transport = place.connect(lambda: client)
    assert client.transport is transport
    return client, server


async def turns(number: int = 5) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_where_nobody_serves_nobody_connects() -> None:
    with pytest.raises(ConnectionRefusedError):
        Inside().connect(Speaker)


async def test_what_is_written_is_read_but_not_at_once() -> None:
    client, server = connected()
    client.transport.write(b"one ")
    client.transport.writelines([b"two ", bytearray(b"three")])
    server.transport.write(memoryview(b"back"))
    assert client.transport.get_write_buffer_size() == len(b"one two three")
    assert (client.read, server.read) == (b"", b""), "a protocol is never called while it writes"
    await turns()
    assert (client.read, server.read) == (b"back", b"one two three")


async def test_who_does_not_want_to_read_gets_it_later() -> None:
    client, server = connected()
    server.transport.pause_reading()
    assert not server.transport.is_reading()
    client.transport.write(b"x")
    await turns()
    assert server.read == b""
    server.transport.resume_reading()
    await turns()
    assert server.read == b"x"


async def test_who_writes_much_is_asked_to_pause_until_it_is_read() -> None:
    client, server = connected()
    server.transport.pause_reading()
    client.transport.write(b"x" * MANY)
    await turns()
    assert client.said == ["made", "pause"]
    assert client.transport.get_write_buffer_size() == MANY
    server.transport.resume_reading()
    await turns()
    assert client.said == ["made", "pause", "resume"]
    assert client.transport.get_write_buffer_size() == 0
    assert server.read == b"x" * MANY


async def test_what_was_written_before_a_close_is_read() -> None:
    client, server = connected()
    client.transport.write(b"the last words")
    client.transport.close()
    client.transport.write(b"too late")
    assert client.transport.is_closing()
    await turns()
    assert server.read == b"the last words"
    assert client.said == ["made", "lost"]
    assert server.said == ["made", "eof", "lost"]


async def test_an_end_comes_after_what_a_paused_reader_has_not_read() -> None:
    client, server = connected()
    server.transport.pause_reading()
    client.transport.write(b"the last words")
    client.transport.close()
    await turns()
    assert (server.read, server.said) == (b"", ["made"])
    server.transport.resume_reading()
    await turns()
    assert (server.read, server.said) == (b"the last words", ["made", "eof", "lost"])


async def test_who_writes_to_nobody_is_told() -> None:
    client, server = connected()
    client.transport.pause_reading()
    server.transport.abort()
    await turns()
    client.transport.write(b"is anybody there?")
    await turns()
    assert client.said == ["made", "BrokenPipeError"]


async def test_who_writes_too_late_still_reads_the_last_words() -> None:
    client, server = connected()
    server.transport.write(b"the last words")
    server.transport.close()
    client.transport.write(b"is anybody there?")
    await turns()
    assert (client.read, client.said) == (b"the last words", ["made", "eof", "lost"])


async def test_a_bug_at_the_end_leaves_nobody_waiting() -> None:
    client, server = connected()
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)

    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    server.connection_lost = fail  # type: ignore[method-assign,assignment]
    client.eof_received = fail  # type: ignore[method-assign]
    server.transport.abort()
    await turns()
    assert client.said == ["made", "lost"]


async def test_who_waits_to_write_to_nobody_is_told() -> None:
    client, server = connected()
    for speaker in (client, server):
        speaker.transport.pause_reading()
    client.transport.write(b"x" * MANY)
    server.transport.abort()
    await turns()
    assert client.said == ["made", "pause", "BrokenPipeError"]


async def test_every_end_is_lost_once() -> None:
    client, server = connected()
    client.transport.abort()
    server.transport.abort()
    client.transport.close()
    await turns()
    assert (client.said, server.said) == (["made", "lost"], ["made", "lost"])


async def test_a_protocol_may_stop_reading_in_the_middle() -> None:
    client, server = connected()

    class Sipping(Speaker):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            server.transport.pause_reading()

    sipping = Sipping()
    server.transport.set_protocol(sipping)
    assert server.transport.get_protocol() is sipping
    client.transport.write(b"one")
    await turns()
    client.transport.write(b"two")
    await turns()
    assert sipping.read == b"one"


async def test_a_bug_of_a_protocol_ends_its_connection_and_is_told() -> None:
    client, server = connected()
    told = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context["exception"]))

    def fail(data: bytes) -> None:
        raise RuntimeError("a bug")

    server.data_received = fail  # type: ignore[method-assign]
    client.transport.write(b"x")
    await turns()
    assert [str(error) for error in told] == ["a bug"]
    assert server.said == ["made", "RuntimeError"]
    assert client.said == ["made", "eof", "lost"]


async def test_a_connection_that_ended_is_forgotten() -> None:
    client, server = connected()
    client.transport.close()
    await turns()
    gone = weakref.ref(server)
    del client, server
    gc.collect()
    assert gone() is None
