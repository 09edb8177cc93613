"""No request smuggling: whatever a client sends, the upstream sees nothing, or exactly what the gateway meant to send.

The tables are in `requests/`. Each row is followed, on the same connection, by a canary.
"""

import asyncio
from collections.abc import Iterator

import pytest

from tests.trips.raw_exchanges.exchange import CANARY, SEEN_CANARY, Exchange, Seen
from tests.trips.raw_exchanges.house import House, Opened, RawUpstream, opened_house
from tests.trips.raw_exchanges.requests import FAMILIES
from tests.trips.raw_exchanges.strict import Read, read_answers, read_requests

ROWS = {f"{family}: {row.name}": row for family, rows in FAMILIES.items() for row in rows}
WRITTEN_BY_THE_GATEWAY = {"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-request-id"}
FRAMING = {"host", "content-length", "transfer-encoding"}


def answer_whole_requests(connection: RawUpstream) -> None:
    """Say "ok" to every whole request. What the strict parser cannot read fails the test."""
    requests, _ = read_requests(connection.heard)
    for request in requests[connection.answered :]:
        body = b"" if request.start[0] == "HEAD" else b"ok"
        connection.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + body)
    connection.answered = len(requests)


@pytest.fixture(scope="module")
def opened(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    with opened_house(runner, tmp_path_factory.mktemp("house"), answer_whole_requests) as opened:
        yield opened


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_the_upstream_sees_nothing_or_what_the_gateway_meant(opened: Opened, row: Exchange) -> None:
    opened.run(exchange(opened.house, row))


SPLIT = {"CL, then TE", "trailers with an identity", "websocket with chunks", "garbage third"}


@pytest.mark.parametrize("row", [row for row in ROWS.values() if row.name in SPLIT])
def test_it_is_the_same_wherever_the_segments_end(opened: Opened, row: Exchange) -> None:
    for position in range(1, len(row.sent)):
        opened.run(exchange(opened.house, row, row.sent[:position], row.sent[position:]))
    opened.run(exchange(opened.house, row, *(row.sent[n : n + 1] for n in range(len(row.sent)))))


async def exchange(house: House, row: Exchange, *pieces: bytes) -> None:
    *first, last = pieces or (row.sent,)
    house.begin()
    heard = await house.ask(*first, last + CANARY, finish=row.finishes)
    await house.settle()
    answers, rest = read_answers(heard, [*row.methods, "GET"])
    assert not rest
    assert [each.status for each in answers] == [*row.statuses, *([] if row.ends else [200])]
    if row.statuses and row.statuses[-1] >= 400 and row.ends:
        assert answers[-1].all("connection") == ["close"]
    expected = [*row.seen, *([] if row.ends else [SEEN_CANARY])]
    assert sorted(map(str, saw(house, row))) == sorted(map(str, expected))


def saw(house: House, row: Exchange) -> list[Seen]:
    """Return all that the upstream has seen whole. What is left of a connection was cut off, and may be."""
    seen = []
    for connection in house.connections:
        requests, rest = read_requests(connection.heard)
        seen += [as_seen(each) for each in requests]
        assert not rest or (row.begins and not connection.is_open)
    return seen


def as_seen(request: Read) -> Seen:
    """Return what a client sent of a request, and check what the gateway has written."""
    [host] = request.all("host")
    is_named = not host.startswith("127.0.0.1:")
    assert request.all("x-forwarded-for") == ["127.0.0.1"]
    assert request.all("x-forwarded-proto") == ["http"]
    assert request.all("x-forwarded-host") == ([host] if is_named else [])
    assert len(request.all("x-request-id")) == 1
    own = WRITTEN_BY_THE_GATEWAY | FRAMING
    method, target = request.start
    headers = tuple((name, value) for name, value in request.headers if name not in own)
    return Seen(method, target, request.body, headers, host if is_named else "upstream")


def test_there_are_far_more_rows_than_promised() -> None:
    assert sum(map(len, FAMILIES.values())) == len(ROWS) > 250
