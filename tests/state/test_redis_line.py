"""The line to Redis: one connection for many calls at a time, with a server that a test speaks for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.exceptions import ConnectionError  # noqa: A004

from gateway.state.redis_line import Line
from gateway.state.redis_node import Dialling, Node, packed

PING = packed("PING")


class Server:
    """Takes connections, and answers what it is told to. `asked` are the bytes that came."""

    def __init__(self) -> None:
        self.asked = b""
        self.port = 0
        self.reads = self.connections = 0
        self._writer: asyncio.StreamWriter
        self._has_news = asyncio.Event()
        self.is_left = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.connections += 1
        while data := await reader.read(65536):
            self.reads += 1
            self.asked += data
            self._has_news.set()
        self.is_left.set()
        writer.close()

    async def has_been_asked(self, number: int) -> None:
        while self.asked.count(PING) < number:
            self._has_news.clear()
            await self._has_news.wait()

    def answer(self, replies: bytes) -> None:
        self._writer.write(replies)

    def hang_up(self) -> None:
        self._writer.close()


@asynccontextmanager
async def line_to_server(patience: float = 20) -> AsyncIterator[tuple[Line, Server]]:
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    connection = Dialling(patience).connection(listening.sockets[0].getsockname()[:2])
    await connection.connect()  # type: ignore[no-untyped-call]
    line = Line(connection, patience)
    try:
        yield line, server
    finally:
        line.retire()
        listening.close()
        async with asyncio.timeout(20):
            await server.is_left.wait()


def asked(line: Line, times: int = 1) -> "asyncio.Task[list[object] | None]":
    return asyncio.ensure_future(line.ask(PING * times, times))


async def test_replies_go_to_those_who_asked_in_that_order() -> None:
    async with line_to_server() as (line, server):
        first, second, third = asked(line), asked(line, 2), asked(line)
        await server.has_been_asked(4)
        server.answer(b":1\r\n:2\r\n:3\r\n:4\r\n")
        assert [await each for each in (first, second, third)] == [[1], [2, 3], [4]]


async def test_what_many_ask_at_the_same_time_is_sent_together() -> None:
    async with line_to_server() as (line, server):
        crowd = [asked(line) for _ in range(50)]
        await server.has_been_asked(50)
        server.answer(b"".join(b":%d\r\n" % number for number in range(50)))
        assert await asyncio.gather(*crowd) == [[number] for number in range(50)]
        assert server.reads < 10


async def test_what_was_not_sent_when_the_line_ended_is_never_sent() -> None:
    async with line_to_server() as (line, server):
        first = asked(line)
        await server.has_been_asked(1)
        server.answer(b":1\r\n:2\r\n")  # nobody asked for the second: the line ends
        assert await first == [1]
        late = [asked(line) for _ in range(3)]
        assert [type(each) for each in await asyncio.gather(*late, return_exceptions=True)] == [ConnectionError] * 3
        assert server.asked == PING
        assert server.connections == 1


async def test_the_reply_to_somebody_who_went_away_is_nobody_elses() -> None:
    async with line_to_server() as (line, server):
        gone, other = asked(line, 2), asked(line)
        await server.has_been_asked(3)
        gone.cancel()
        server.answer(b":1\r\n:2\r\n:3\r\n")
        assert await other == [3]
        assert line.is_open


async def test_an_error_among_the_replies_is_for_the_one_who_asked() -> None:
    async with line_to_server() as (line, server):
        first, second = asked(line, 2), asked(line)
        await server.has_been_asked(3)
        server.answer(b":1\r\n-READONLY no\r\n:3\r\n")
        assert await first is None
        assert await second == [3]


async def test_when_the_connection_breaks_everybody_is_told() -> None:
    async with line_to_server() as (line, server):
        both = asked(line), asked(line)
        await server.has_been_asked(2)
        server.hang_up()
        assert [type(each) for each in await asyncio.gather(*both, return_exceptions=True)] == [ConnectionError] * 2
        assert not line.is_open


async def test_an_overdue_reply_ends_the_line_for_all_but_is_only_one_ones_fault() -> None:
    async with line_to_server(patience=1) as (line, server):
        early = asked(line)
        await server.has_been_asked(1)
        await asyncio.sleep(0.5)
        late = asked(line)
        with pytest.raises(TimeoutError):
            await early
        with pytest.raises(ConnectionError):
            await late
        assert not line.is_open
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0


async def test_a_process_that_had_no_time_to_read_does_not_blame_the_server() -> None:
    async with line_to_server(patience=0.2) as (line, server):
        asking = asked(line)
        await server.has_been_asked(1)
        server.answer(b":1\r\n")
        end = asyncio.get_running_loop().time() + 0.3
        while asyncio.get_running_loop().time() < end:
            pass  # the event loop stands still
        assert await asking == [1]


async def test_replies_that_nobody_asked_for_end_the_line() -> None:
    async with line_to_server() as (line, server):
        asking = asked(line)
        await server.has_been_asked(1)
        server.answer(b":1\r\n:2\r\n")
        assert await asking == [1]
        async with asyncio.timeout(20):
            await server.is_left.wait()
        assert not line.is_open


async def test_a_line_that_retires_answers_everybody_and_ends() -> None:
    async with line_to_server() as (line, server):
        asking = asked(line)
        await server.has_been_asked(1)
        line.retire()
        assert not line.is_open
        server.answer(b":1\r\n")
        assert await asking == [1]
        async with asyncio.timeout(20):
            await server.is_left.wait()


async def test_a_line_that_retires_does_not_wait_for_replies_that_nobody_waits_for() -> None:
    async with line_to_server() as (line, server):
        asking = asked(line)
        await server.has_been_asked(1)
        asking.cancel()
        await asyncio.wait([asking])
        line.retire()
        async with asyncio.timeout(20):
            await server.is_left.wait()


@pytest.mark.parametrize(("replies", "is_good"), [(b":1\r\n", True), (b":1\r\n:2\r\n", False), (b":1\r\n:", False)])
async def test_no_line_begins_with_what_nobody_asked_for(replies: bytes, is_good: bool) -> None:
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    node = Node(listening.sockets[0].getsockname()[:2], Dialling(20))
    assert node.line() is None  # from now on one is wanted
    asking = asyncio.ensure_future(node.ask([PING]))
    await server.has_been_asked(1)
    server.answer(replies)
    assert await asking == [1]
    assert (node.line() is not None) is is_good
    await node.close()
    listening.close()
    async with asyncio.timeout(20):
        await server.is_left.wait()


def test_the_library_has_no_deadlines_of_its_own() -> None:
    """Two that end at the same moment leave a cancellation behind in the task."""
    connection = Dialling(0.5).connection(("127.0.0.1", 1))
    assert (connection.socket_timeout, connection.socket_connect_timeout) == (None, None)
