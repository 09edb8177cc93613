"""What becomes of sessions is counted, and told to operators as far as they should hear of it."""

import io
import json
from typing import Any

import pytest

from gateway.model.session import THEFT, CutOff, EndReason, Exchanged, Opened, SessionOver, TokenRevoked
from gateway.telemetry.log import Log
from gateway.telemetry.log_settings import LogSettings
from gateway.telemetry.session_tally import SessionTally
from tests.own_tokens import SID, a_session

SECRET_SALT = b"never in a log"


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def tally(stream: io.StringIO) -> SessionTally:
    return SessionTally(Log(LogSettings(), stream))


def told(stream: io.StringIO) -> list[dict[str, Any]]:
    """Return the events, without their time."""
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    return [{name: value for name, value in line.items() if name != "time"} for line in lines]


def test_a_login_is_told(tally: SessionTally, stream: io.StringIO) -> None:
    tally.record(Opened(a_session(address="192.0.2.0/24", salt=SECRET_SALT)))
    assert tally.opened == 1
    assert told(stream) == [
        {
            "level": "info",
            "event": "session_opened",
            "session": SID,
            "subject": "alice",
            "client": "web",
            "address": "192.0.2.0/24",
        }
    ]


def test_good_exchanges_are_only_counted(tally: SessionTally, stream: io.StringIO) -> None:
    session = a_session()
    tally.record(Exchanged("rotated", "web", session))
    tally.record(Exchanged("rotated", "web", session, healed=2))
    tally.record(Exchanged("repeated", "web", session, age_ms=400))
    tally.record(Exchanged("recovered", "web", session, age_ms=1_800_000))
    assert tally.exchanges == {"rotated": 2, "repeated": 1, "recovered": 1}
    assert tally.healed == 1
    assert (sum(tally.repeat_ages.counts), tally.repeat_ages.sum) == (2, 1800.4)
    assert told(stream) == []


def test_a_refused_exchange_is_told_but_junk_is_not(tally: SessionTally, stream: io.StringIO) -> None:
    tally.record(Exchanged("expired_session", "web", address="192.0.2.7"))
    for _ in range(100):
        tally.record(Exchanged("unknown_refresh_token", "-", address="192.0.2.7"))
    assert tally.exchanges == {"expired_session": 1, "unknown_refresh_token": 100}
    assert told(stream) == [
        {
            "level": "info",
            "event": "exchange_refused",
            "reason": "expired_session",
            "client": "web",
            "address": "192.0.2.7",
        }
    ]


@pytest.mark.parametrize("reason", EndReason)
def test_theft_is_a_warning_and_an_alarm_and_every_other_end_is_neither(stream: io.StringIO, reason: EndReason) -> None:
    """C174"""
    alarms: list[SessionOver] = []
    tally = SessionTally(Log(LogSettings(), stream), alarms.append)
    over = SessionOver(a_session(), reason, 4, "192.0.2.7")
    tally.record(over)
    assert tally.ended == {reason.value: 1}
    [event] = told(stream)
    about = {"session": SID, "subject": "alice", "client": "web", "reason": reason.value}
    if reason in THEFT:
        assert alarms == [over]
        loud = {"level": "warning", "event": "refresh_token_reuse", "distance": 4, "address": "192.0.2.7"}
        assert event == about | loud
    else:
        assert alarms == []
        assert event == about | {"level": "info", "event": "session_ended"}


def test_a_cut_off_is_a_warning_that_says_what_is_void(tally: SessionTally, stream: io.StringIO) -> None:
    tally.record(CutOff("client", "https://gw.example", "web"))
    assert told(stream) == [
        {
            "level": "warning",
            "event": "tokens_cut_off",
            "what": "client",
            "issuer": "https://gw.example",
            "name": "web",
        }
    ]


def test_a_client_that_makes_its_own_token_void_is_no_event(tally: SessionTally, stream: io.StringIO) -> None:
    tally.record(TokenRevoked("c0ffee", "alice", "web"))
    assert told(stream) == []


def test_logins_and_answers_are_counted_by_result(tally: SessionTally) -> None:
    for result in ("ok", "wrong_password", "ok"):
        tally.login(result)
    tally.answered("token", "invalid_client")
    tally.answered("refresh", "invalid_client")
    assert tally.logins == {"ok": 2, "wrong_password": 1}
    assert tally.answers == {("token", "invalid_client"): 1, ("refresh", "invalid_client"): 1}
