"""First all connections are read, then they work, then all that they say is written; and what came first counts."""

from collections.abc import Coroutine, Iterator
from typing import Any, cast

import pytest

from gateway.config.snapshot import Snapshot
from gateway.proxy import draining
from gateway.proxy.client import ClientConnection
from gateway.proxy.listener import Listeners
from gateway.proxy.plane import DataPlane
from gateway.proxy.relay import Relay
from gateway.proxy.upstream import UpstreamConnection
from tests.fuzz.wire import CONFIG, LOOP, Recorder, Wire, compiled, snapshot
from tests.minting import NOW

BAD = b"GET /%zz HTTP/1.1\r\nHost: app\r\n\r\n"
"""Refused at once."""
GET = b"GET /x HTTP/1.1\r\nHost: app\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
OTHER = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
UPGRADE = b"GET /x HTTP/1.1\r\nHost: app\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"


@pytest.fixture(scope="module")
def ready() -> Snapshot:
    return snapshot()


class Nobody:
    """Listeners that nobody comes to."""

    async def close(self) -> None: ...


class House:
    """A data plane whose work (it looks at the clock) and writes are noted in order, with clients and an upstream."""

    def __init__(self, ready: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
        LOOP.far, LOOP.far_ends, LOOP.errors = (lambda wire, data: None), [], []
        self.said: list[str] = []
        self.recorder = Recorder()
        self.plane = DataPlane(ready, LOOP, self._clock, self.recorder, lambda event, fields: None)
        write = Wire.write

        def note(wire: Wire, data: bytes | bytearray | memoryview) -> None:
            self.said.append("late" if wire.is_closed else "write")
            write(wire, data)

        monkeypatch.setattr(Wire, "write", note)

    def _clock(self) -> float:
        if self.said[-1:] != ["work"]:
            self.said.append("work")
        return NOW

    def client(self) -> tuple[Wire, ClientConnection]:
        connection: Any = ClientConnection(self.plane, secure=False)
        return Wire(LOOP, connection, lambda wire, data: None), connection

    def asked(self, request: bytes = GET) -> tuple[Wire, ClientConnection, Wire, UpstreamConnection]:
        """Return a client whose request is with the upstream, and the latter's connection."""
        wire, connection = self.client()
        before = len(LOOP.far_ends)
        wire.feed(request)
        self.settle()
        far = LOOP.far_ends[-1]
        assert len(LOOP.far_ends) == before + 1 or far.written
        upstream: Any = far._protocol
        return wire, connection, far, upstream

    def settle(self) -> None:
        """Run until nothing is left to do; then there shall be much to do."""
        LOOP.settle()
        self.plane.rounds.at_once = 0


class Failing:
    """A parser with a bug."""

    calls = 0

    def feed_data(self, data: bytes) -> None:
        self.calls += 1
        raise ZeroDivisionError


@pytest.fixture
def house(ready: Snapshot, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    house = House(ready, monkeypatch)
    yield house
    for connection in list(house.plane.connections):
        connection.abort()
    house.plane.close_pools()
    house.settle()


def test_all_work_before_anything_is_written(house: House) -> None:
    asked = [house.asked() for _ in range(3)]
    house.said.clear()
    for _, _, far, _ in asked:
        far.feed(ANSWER)
    wire, _ = house.client()
    wire.feed(BAD)
    house.settle()
    assert [bytes(each.written[:12]) for each, *_ in asked] == [b"HTTP/1.1 200"] * 3
    assert wire.written.startswith(b"HTTP/1.1 400 ")
    assert house.said == ["work", "write", "write", "write", "write"]


def test_a_large_round_is_written_in_parts(house: House) -> None:
    for _ in range(100):
        house.client()[0].feed(BAD)
    house.settle()
    assert house.said == ["work"] + ["write"] * 64 + ["work"] + ["write"] * 36


def test_where_little_goes_on_nobody_waits_for_others(house: House) -> None:
    """A client with one request at a time makes small rounds: after two of them it is served at once, but for a try."""
    wire, connection = house.client()
    waited = []
    for _ in range(40):
        connection.data_received(BAD)
        waited.append(not wire.written)
        LOOP.settle()
        wire.written = b""
    assert [place for place, each in enumerate(waited) if each] == [0, 1, 18, 35]


def test_many_at_once_make_rounds_again(house: House) -> None:
    house.plane.rounds.at_once = 3
    house.plane.rounds._is_small = True
    clients = [house.client() for _ in range(10)]
    for _, connection in clients:
        connection.data_received(BAD)
    assert [bool(wire.written) for wire, _ in clients] == [True] * 3 + [False] * 7
    LOOP.settle()
    for wire, connection in clients:
        wire.written = b""
        connection.data_received(BAD)
        assert not wire.written
    LOOP.settle()


def test_what_is_large_is_not_kept(house: House) -> None:
    _, connection, far, _ = house.asked(b"POST /x HTTP/1.1\r\nHost: app\r\nContent-Length: 40000\r\n\r\n")
    far.written = b""
    connection.data_received(b"x" * 20_000)
    assert far.written == b"x" * 20_000
    connection.data_received(b"y" * 10_000)
    assert far.written == b"x" * 20_000
    house.settle()
    assert far.written == b"x" * 20_000 + b"y" * 10_000


def test_pieces_of_one_connection_stay_in_order(house: House) -> None:
    _, connection, far, _ = house.asked(b"POST /x HTTP/1.1\r\nHost: app\r\nContent-Length: 40000\r\n\r\n")
    far.written = b""
    for piece in (b"a" * 10_000, b"b" * 20_000, b"c" * 10_000):
        connection.data_received(piece)
    house.settle()
    assert far.written == b"a" * 10_000 + b"b" * 20_000 + b"c" * 10_000


def test_a_request_that_came_before_the_end_of_the_connection_is_answered(house: House) -> None:
    wire, connection = house.client()
    connection.data_received(GET)
    assert connection.eof_received()
    house.settle()
    LOOP.far_ends[-1].feed(ANSWER)
    house.settle()
    assert wire.written.endswith(b"\r\n\r\nhi")


def test_an_answer_that_came_before_the_end_of_the_connection_is_passed_on(house: House) -> None:
    wire, _, _, upstream = house.asked()
    upstream.data_received(ANSWER)
    upstream.connection_lost(ConnectionResetError())
    assert wire.written.endswith(b"\r\n\r\nhi")


def test_an_answer_without_length_is_whole_when_its_end_comes_in_the_same_round(house: House) -> None:
    wire, _, far, _ = house.asked()
    far.feed(b"HTTP/1.1 200 OK\r\n\r\nhi")
    far.feed_eof()
    house.settle()
    assert wire.written.endswith(b"2\r\nhi\r\n0\r\n\r\n")


def test_what_nobody_asked_for_is_never_an_answer(house: House) -> None:
    """It comes with the request that would take the connection, in one round."""
    first, _, far, upstream = house.asked()
    far.feed(ANSWER)
    house.settle()
    assert first.written.endswith(b"hi")
    assert upstream.target.idle == [upstream]
    second, connection = house.client()
    connection.data_received(GET)
    upstream.data_received(OTHER)
    house.settle()
    assert far.is_aborted
    assert len(LOOP.far_ends) == 2  # another connection was opened for it
    LOOP.far_ends[1].feed(ANSWER)
    house.settle()
    assert b"forged" not in second.written
    assert second.written.endswith(b"hi")


def test_a_second_answer_in_the_same_round_is_not_passed_on(house: House) -> None:
    wire, _, far, upstream = house.asked()
    upstream.data_received(ANSWER)
    upstream.data_received(OTHER)
    house.settle()
    assert wire.written.count(b"HTTP/1.1 ") == 1
    assert far.is_aborted


def test_a_request_whose_end_is_not_written_keeps_no_connection(house: House) -> None:
    """The answer is older than the rest of the request, both of one round."""
    wire, connection, far, upstream = house.asked(b"POST /x HTTP/1.1\r\nHost: app\r\nContent-Length: 2\r\n\r\n")
    connection.data_received(b"ab")
    upstream.data_received(ANSWER)
    house.settle()
    assert wire.written.endswith(b"hi")
    assert far.is_aborted
    assert upstream.target.idle == []


def test_last_words_of_a_tunnel_leave_before_it_closes(house: House) -> None:
    _, connection, far, upstream = house.asked(UPGRADE)
    far.feed(SWITCHED)
    house.settle()
    far.written = b""
    house.plane.rounds.is_working = True
    upstream.write(b"bye")
    connection.lost(None)
    assert (far.written, far.is_closed) == (b"bye", True)


def test_what_a_tunnel_is_told_too_late_does_not_cut_its_last_words(house: House) -> None:
    _, connection, far, upstream = house.asked(UPGRADE)
    far.feed(SWITCHED)
    house.settle()
    far.written = b""
    connection.data_received(b"bye")
    upstream.data_received(b"pong")
    connection.connection_lost(None)
    house.plane.rounds.work()
    assert (far.written, far.is_closed) == (b"bye", True)
    assert not upstream.is_closed  # what the kernel has not taken yet leaves first


def test_bytes_of_both_sides_of_a_tunnel_pass_in_one_round(house: House) -> None:
    wire, connection, far, upstream = house.asked(UPGRADE)
    far.feed(SWITCHED)
    house.settle()
    far.written = wire.written = b""
    house.said.clear()
    connection.data_received(b"ping")
    upstream.data_received(b"pong")
    assert house.said == []
    house.settle()
    assert (far.written, wire.written) == (b"ping", b"pong")


def test_a_bug_in_one_connection_ends_that_one_only(house: House) -> None:
    asked = [house.asked() for _ in range(3)]
    asked[1][3]._parser = Failing()  # type: ignore[assignment]
    for _, _, far, _ in asked:
        far.feed(ANSWER)
    house.settle()
    assert asked[0][0].written.endswith(b"hi")
    assert asked[2][0].written.endswith(b"hi")
    assert asked[1][0].written.startswith(b"HTTP/1.1 502 ")
    assert asked[1][2].is_aborted
    assert [type(context["exception"]) for context in LOOP.errors] == [ZeroDivisionError]
    LOOP.errors.clear()
    late, _, far, _ = house.asked()  # and what is written afterwards is written
    far.feed(ANSWER)
    house.settle()
    assert late.written.endswith(b"hi")


def test_a_transport_that_fails_keeps_nothing_from_the_others(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [house.asked() for _ in range(3)]
    write = Wire.write

    def fail(wire: Wire, data: bytes | bytearray | memoryview) -> None:
        if wire is asked[0][0]:
            raise ZeroDivisionError
        write(wire, data)

    monkeypatch.setattr(Wire, "write", fail)
    for _, _, far, _ in asked:
        far.feed(ANSWER)
    house.settle()
    assert [wire.written.endswith(b"hi") for wire, *_ in asked] == [False, True, True]
    assert asked[0][1].is_closed
    assert [type(context["exception"]) for context in LOOP.errors] == [ZeroDivisionError]
    LOOP.errors.clear()


def test_a_bug_in_the_end_of_a_connection_ends_that_one_only(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [house.asked() for _ in range(3)]
    asked[1][3]._parser = Failing()  # type: ignore[assignment]
    record = house.recorder.request

    def fail(relay: Relay, now: float) -> None:
        if relay._client is asked[1][1]:
            raise ZeroDivisionError
        record(relay, now)

    monkeypatch.setattr(house.recorder, "request", fail)
    for _, _, far, _ in asked:
        far.feed(ANSWER)
    house.settle()
    assert [wire.written.endswith(b"hi") for wire, *_ in asked] == [True, False, True]
    assert len(LOOP.errors) == 2
    LOOP.errors.clear()


def test_nothing_is_parsed_after_a_bug(house: House) -> None:
    _, _, _, upstream = house.asked()
    parser: Any = Failing()
    upstream._parser = parser
    upstream.data_received(b"HTTP/1.1 ")
    upstream.data_received(b"200 OK\r\n")
    assert parser.calls == 1
    house.settle()
    LOOP.errors.clear()


def test_what_was_passed_on_before_a_cut_is_written(house: House) -> None:
    head = b"POST /x HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked\r\n\r\n"
    wire, connection, _, upstream = house.asked(head)
    upstream.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi")
    connection.data_received(b"no chunk\r\n")
    house.settle()
    assert wire.is_aborted
    assert wire.written.endswith(b"\r\n\r\nhi")


def test_a_refusal_is_written_before_the_connection_closes(house: House) -> None:
    wire, connection = house.client()
    connection.data_received(b"no HTTP\r\n\r\n")
    house.settle()
    assert wire.written.startswith(b"HTTP/1.1 400 ")
    assert wire.has_eof or wire.is_closed


def test_who_leaves_in_the_same_round_is_not_heard(house: House) -> None:
    _, connection = house.client()
    connection.data_received(GET)
    connection.abort()
    house.settle()
    assert LOOP.far_ends == []
    assert house.recorder.relays == []
    assert not connection.queue


def test_who_leaves_in_the_same_round_is_not_written_to(house: House) -> None:
    wire, connection, far, upstream = house.asked(b"POST /x HTTP/1.1\r\nHost: app\r\nContent-Length: 2\r\n\r\n")
    far.written = b""
    connection.data_received(b"ab")
    upstream.data_received(b"no HTTP\r\n\r\n")
    house.settle()
    assert wire.written.startswith(b"HTTP/1.1 502 ")
    assert (far.written, far.is_aborted) == (b"", True)
    assert "late" not in house.said


def test_bytes_stay_in_order_when_writing_makes_somebody_write(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    one, _, far, _ = house.asked()
    two, second, other_far, _ = house.asked()
    write = Wire.write

    def meddle(wire: Wire, data: bytes | bytearray | memoryview) -> None:
        write(wire, data)
        if wire is one:
            second.write(b"later")

    monkeypatch.setattr(Wire, "write", meddle)
    far.feed(ANSWER)
    other_far.feed(ANSWER)
    house.settle()
    assert two.written.endswith(b"hilater")


@pytest.mark.parametrize("has_waited", [False, True])
def test_a_client_that_does_not_take_its_answers_gets_no_further_ones(
    house: House, monkeypatch: pytest.MonkeyPatch, has_waited: bool
) -> None:
    """Neither of requests that wait behind another one, nor of those that come in the same bytes."""
    wire, connection, far, _ = house.asked()
    write = Wire.write

    def block(to: Wire, data: bytes | bytearray | memoryview) -> None:
        write(to, data)
        if to is wire and wire.written.count(b"HTTP/1.1 400 ") > 1:
            connection.pause_writing()

    monkeypatch.setattr(Wire, "write", block)
    if has_waited:
        connection.data_received(BAD * 100 + GET)
    far.feed(ANSWER)
    house.settle()
    far.written = b""
    if not has_waited:
        connection.data_received(BAD * 100 + GET)
        house.settle()
    assert wire.written.count(b"HTTP/1.1 400 ") == 2
    assert far.written == b""
    wire.written = b""
    connection.resume_writing()
    house.settle()
    assert wire.written.count(b"HTTP/1.1 400 ") == 2


def test_nothing_begins_for_a_client_that_cannot_be_written_to(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    _, connection = house.client()

    def fail(wire: Wire, data: bytes | bytearray | memoryview) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Wire, "write", fail)
    connection.data_received(BAD + GET)
    house.settle()
    assert connection.is_closed
    assert len(house.recorder.relays) == 1
    assert LOOP.far_ends == []
    LOOP.errors.clear()


def test_what_was_said_before_another_asked_is_not_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(compiled(CONFIG.replace("}}\nroutes", ", connections: 1}}\nroutes")), monkeypatch)
    first, _, _, upstream = house.asked()
    second, connection = house.client()
    connection.data_received(GET)
    house.settle()
    upstream.data_received(ANSWER)
    upstream.data_received(OTHER)
    house.settle()
    LOOP.far_ends[-1].feed(ANSWER)
    house.settle()
    assert first.written.endswith(b"hi")
    assert b"forged" not in second.written
    assert second.written.endswith(b"hi")


def test_what_is_large_comes_after_what_came_before_it(house: House) -> None:
    """The rest of a request, and the answer to it."""
    wire, connection, far, upstream = house.asked(b"POST /x HTTP/1.1\r\nHost: app\r\nContent-Length: 2\r\n\r\n")
    far.written = b""
    connection.data_received(b"ab")
    upstream.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n" + b"x" * 20_000)
    house.settle()
    assert far.written == b"ab"
    assert wire.written.endswith(b"x" * 20_000)
    assert not wire.is_closed


def test_a_request_that_came_before_a_reload_is_judged_by_the_rules_of_then(house: House) -> None:
    _, connection = house.client()
    connection.data_received(GET)
    former = house.plane.snapshot
    house.plane.swap(snapshot())
    assert connection.relay is not None
    assert connection.relay.snapshot is former


def test_what_came_before_the_end_of_the_process_is_passed_on(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    wire, _, far, upstream = house.asked(UPGRADE)
    far.feed(SWITCHED)
    house.settle()
    late, _, _, answering = house.asked()
    arriving = [(upstream, b"bye"), (answering, ANSWER)]

    async def first(_: float, *waits: Coroutine[Any, Any, object]) -> None:
        """Stand for the time that a step of the drain takes, at whose end something arrives."""
        for wait in waits:
            wait.close()
        if arriving:
            connection, data = arriving.pop(0)
            connection.data_received(data)

    monkeypatch.setattr(draining, "_first", first)
    LOOP.run_until_complete(draining.drain(house.plane, cast(Listeners, Nobody()), draining.Haste()))
    house.settle()
    assert wire.written.endswith(b"bye")
    assert late.written.endswith(b"hi")


def test_a_client_that_has_said_something_is_not_crowded_out(house: House) -> None:
    _, connection = house.client()
    connection.data_received(GET)
    assert not connection.crowd_out()
    house.settle()
    assert LOOP.far_ends[-1].written.startswith(b"GET /x ")


def test_a_deadline_that_has_passed_finds_what_was_read_before(house: House) -> None:
    """The loop may have stood still for long: an answer that is here was in time."""
    wire, _, _, upstream = house.asked()
    upstream.deadline = 0.0
    upstream.data_received(ANSWER)
    house.plane.deadlines._tick()
    house.settle()
    house.plane.deadlines.stop()
    assert wire.written.startswith(b"HTTP/1.1 200 ")
