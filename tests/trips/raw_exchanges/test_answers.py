"""A misbehaving upstream: its answer is written anew, refused or seen to be cut, and a connection in doubt is never
used again.

The tables are in `answers/`. Each row is said in one piece and byte by byte, and is followed by a canary, which must
get its own answer.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterator

import pytest

from tests.trips.raw_exchanges.answers import FAMILIES
from tests.trips.raw_exchanges.exchange import CANARY, Answering
from tests.trips.raw_exchanges.house import PATIENCE, House, Opened, RawUpstream, opened_house
from tests.trips.raw_exchanges.strict import Read, read_answers, read_requests
from tests.trips.wire import Client, connected

ROWS = {f"{family}: {row.name}": row for family, rows in FAMILIES.items() for row in rows}
SONG = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ncanary"


class Liar:
    """Plays the upstream: the row to whoever asks for anything but the canary."""

    def __init__(self) -> None:
        self.row: Answering
        self.in_bytes = False
        self.asked: list[RawUpstream] = []
        self.sung: list[RawUpstream] = []
        self.tasks: set[asyncio.Task[None]] = set()

    def begin(self, row: Answering, *, in_bytes: bool) -> None:
        self.row, self.in_bytes = row, in_bytes
        self.asked, self.sung = [], []

    def play(self, connection: RawUpstream) -> None:
        if b"/open/canary" in connection.heard:
            if read_requests(connection.heard)[0][connection.answered :]:
                connection.answered += 1
                self.sung.append(connection)
                connection.transport.write(SONG)
        elif connection not in self.asked and self._is_time(connection.heard):
            connection.answered += not self.row.is_early
            self.asked.append(connection)
            self._start(self._answer(connection))

    def _is_time(self, heard: bytes) -> bool:
        return b"hello" in heard if self.row.is_early else bool(read_requests(heard)[0])

    def _start(self, answer: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.get_running_loop().create_task(answer)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _answer(self, connection: RawUpstream) -> None:
        await self.say(connection, self.row.says)
        if self.row.ending == "fin":
            connection.transport.close()
        elif self.row.ending == "rst":
            await asyncio.sleep(0.02)  # what was said must have been read: a reset takes it away
            sock = connection.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.transport.abort()

    async def say(self, connection: RawUpstream, text: bytes) -> None:
        size = 1 if self.in_bytes and len(text) < 2000 else max(len(text), 1)
        for start in range(0, len(text), size):
            if connection.transport.is_closing():
                return
            connection.transport.write(text[start : start + size])
            await asyncio.sleep(0)

    async def silent(self) -> None:
        while self.tasks:
            await asyncio.wait(self.tasks)


@pytest.fixture(scope="module")
def liar() -> Liar:
    return Liar()


@pytest.fixture(scope="module")
def opened(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory, liar: Liar) -> Iterator[Opened]:
    with opened_house(runner, tmp_path_factory.mktemp("house"), liar.play) as opened:
        yield opened


@pytest.mark.parametrize("in_bytes", [False, True], ids=["whole", "bytes"])
@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_the_client_sees_one_answer_and_the_next_one_is_its_own(
    opened: Opened, liar: Liar, row: Answering, in_bytes: bool
) -> None:
    liar.begin(row, in_bytes=in_bytes)
    opened.run(exchange(opened.house, liar))


async def exchange(house: House, liar: Liar) -> None:
    row = liar.row
    house.begin()
    async with asyncio.timeout(PATIENCE), connected(house.gateway.port) as client:
        heard = await heard_of(client, row)
        check(row, heard)
        await quiet(house, liar)
        if row.late:
            [connection] = liar.asked
            assert connection.is_open
            await liar.say(connection, row.late)
            await eventually_closed(connection)
            await quiet(house, liar)
        if row.closes or row.cut:
            song = await house.ask(CANARY)
        else:
            await client.send(CANARY)
            song = await client.rest()
    await house.settle()
    answers, rest = read_answers(song, ["GET"])
    assert not rest
    assert [(each.status, each.body) for each in answers] == [(200, b"canary")]
    assert len(liar.sung) == 1
    if row.reused is not None:
        assert (liar.asked == liar.sung) == row.reused
        assert {each.is_open for each in liar.asked} == {row.reused}


async def heard_of(client: Client, row: Answering) -> bytes:
    """Ask, and return all that comes until the answer is whole or the connection ends."""
    await client.send(row.asks)
    heard = b""
    while row.cut or row.closes or len(read_answers(heard, list(row.methods))[0]) < len(row.statuses):
        part = b""
        with contextlib.suppress(ConnectionError):
            part = await client.reader.read(2**16)
        if not part:
            break
        heard += part
    return heard


def check(row: Answering, heard: bytes) -> None:
    answers, rest = read_answers(heard, list(row.methods))
    if row.cut:
        assert [each.status for each in answers] == list(row.statuses[:-1])
        assert not rest or rest.startswith(b"HTTP/1.1 %d " % row.statuses[-1])
        return
    assert not rest
    assert tuple(each.status for each in answers) == row.statuses
    last: Read = answers[-1]
    if row.statuses[-1] != 502:
        assert last.body == row.body
    names = {name for name, _ in last.headers}
    assert not names & set(row.lacks)
    assert [header for header in last.headers if header[0] in dict(row.has)] == list(row.has)
    assert (last.all("connection") == ["close"]) == row.closes


async def quiet(house: House, liar: Liar) -> None:
    """Wait until the upstream has said everything, and the gateway has made up its mind about the connection."""
    await liar.silent()
    while house.gateway.pool()["busy"] or house.gateway.pool()["idle"] != sum(c.is_open for c in house.connections):
        await asyncio.sleep(0.001)


async def eventually_closed(connection: RawUpstream) -> None:
    while connection.is_open:
        await asyncio.sleep(0.001)


def test_there_are_far_more_rows_than_promised() -> None:
    assert sum(map(len, FAMILIES.values())) == len(ROWS) > 150
