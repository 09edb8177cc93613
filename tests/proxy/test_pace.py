import contextlib
import socket

import pytest

from gateway.proxy.pace import Pace, acknowledged

RATE = 100


def test_who_keeps_up_is_never_behind() -> None:
    pace = Pace(0, 0)
    assert [pace.look(50 * step, step / 2, RATE) for step in range(1, 9)] == [0] * 8


def test_who_is_silent_falls_behind_as_time_passes() -> None:
    pace = Pace(0, 0)
    assert [pace.look(0, step / 2, RATE) for step in range(1, 4)] == [0.5, 1, 1.5]


def test_every_byte_makes_up_for_time() -> None:
    pace = Pace(0, 0)
    pace.look(0, 1, RATE)
    assert pace.look(80, 1.5, RATE) == pytest.approx(0.7)
    assert pace.slow_since == pytest.approx(0.8)


def test_a_quick_beginning_does_not_buy_a_slow_end() -> None:
    pace = Pace(0, 0)
    pace.look(10**9, 0.5, RATE)
    assert pace.look(10**9, 1, RATE) == 0.5


def test_time_that_others_needed_does_not_count() -> None:
    pace = Pace(0, 0)
    assert pace.look(0, 1, RATE, counts=False) == 0
    assert pace.look(0, 100, RATE) == 1  # nobody looked meanwhile: it was not waited for


def test_without_a_rate_only_silence_counts() -> None:
    pace = Pace(0, 0)
    assert [pace.look(0, 1, 0), pace.look(0, 2, 0), pace.look(1, 3, 0), pace.look(1, 4, 0)] == [1, 2, 0, 1]


def test_what_the_other_side_has_not_read_is_not_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        ours, _ = server.accept()
        with ours:
            before = acknowledged(ours)
            assert before is not None
            ours.setblocking(False)
            written = 0
            with contextlib.suppress(BlockingIOError):
                while True:
                    written += ours.send(b"x" * 65536)
            taken = acknowledged(ours)
            assert taken is not None
            assert taken - before < written
            client.recv(100)


def test_where_nobody_knows_nobody_says() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert acknowledged(ours) is None
    assert acknowledged(None) is None
