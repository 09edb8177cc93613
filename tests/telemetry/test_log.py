import io
import json
import logging
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.telemetry.log import Log, quoted, rfc3339
from gateway.telemetry.log_settings import LogFormat, LogSettings


class Written:
    """A log, and what it wrote."""

    def __init__(self, form: LogFormat, **settings: Any) -> None:
        self.stream = io.StringIO()
        self.log = Log(LogSettings(format=form, **settings), self.stream)

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()


def test_an_event_is_one_json_object_with_its_fields() -> None:
    written = Written("json")
    written.log.info("listening", address="127.0.0.1:8080", workers=2)
    event = json.loads(written.lines[0])
    assert list(event) == ["time", "level", "event", "address", "workers"]
    assert event["level"] == "info"
    assert event["event"] == "listening"
    assert event["workers"] == 2


def test_an_event_is_one_line_of_text_with_its_fields() -> None:
    written = Written("text")
    written.log.warning("refresh_token_reused", subject="alice", note="two words", route=None)
    time, rest = written.lines[0].split(" ", 1)
    assert time.endswith("Z")
    assert rest == 'warning refresh_token_reused subject=alice note="two words" route=-'


def test_a_value_that_json_does_not_know_is_written_as_text() -> None:
    written = Written("json")
    written.log.error("load_failed", error=ValueError("no such file"))
    assert json.loads(written.lines[0])["error"] == "no such file"


def test_a_field_cannot_replace_time_level_or_event() -> None:
    written = Written("json")
    written.log.info("listening", level="error", event="forged", time="never")
    event = json.loads(written.lines[0])
    assert (event["level"], event["event"]) == ("info", "listening")
    assert event["time"] != "never"


def test_events_below_the_level_are_not_written() -> None:
    written = Written("json", level="warning")
    written.log.info("a")
    written.log.warning("b")
    written.log.error("c")
    assert [json.loads(line)["event"] for line in written.lines] == ["b", "c"]


HOSTILE = 'x\r\n2026-01-01T00:00:00.000Z error forged\x1b[31m\u2028\x00\x7f"\\'


@pytest.mark.parametrize("form", ["json", "text"])
def test_log_injection_stays_within_one_line_of_printable_ascii(form: LogFormat) -> None:
    written = Written(form)
    written.log.info("refused", path=HOSTILE)
    line = written.stream.getvalue()
    assert line.endswith("\n")
    assert all(" " <= character <= "~" for character in line[:-1])


def test_an_injected_value_cannot_look_like_another_field() -> None:
    written = Written("text")
    written.log.info("refused", path="x status=200", client="10.0.0.1")
    assert written.lines[0].endswith('refused path="x status=200" client=10.0.0.1')


@pytest.mark.parametrize("value", ["", "-", "a b", "a=b", "ä", '"', "a\nb"])
def test_what_could_be_mistaken_is_quoted(value: str) -> None:
    assert json.loads(quoted(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (7, "7"), (True, "True"), ("/a/b", "/a/b"), ("[::1]:80", "[::1]:80"), (["a", 1], "a,1")],
)
def test_what_cannot_be_mistaken_is_bare(value: object, text: str) -> None:
    assert quoted(value) == text


def test_a_library_is_heard_in_the_same_format() -> None:
    written = Written("json")
    library = logging.Logger("aiohttp.server")
    library.addHandler(written.log.handler)
    library.warning("Something %s", "odd")
    try:
        raise ValueError("broken")
    except ValueError:
        library.exception("Failed")
    odd, failed = map(json.loads, written.lines)
    assert (odd["event"], odd["logger"], odd["message"]) == ("library_message", "aiohttp.server", "Something odd")
    assert "traceback" not in odd
    assert failed["traceback"].endswith("ValueError: broken")


def test_events_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    Log(LogSettings()).info("listening")
    out, err = capsys.readouterr()
    assert out == ""
    assert json.loads(err)["event"] == "listening"


def test_two_logs_share_nothing() -> None:
    one, two = Written("json"), Written("text")
    one.log.info("a")
    assert len(one.lines) == 1
    assert two.lines == []
    assert logging.getLogger("gateway").handlers == []


def test_times_are_utc_with_milliseconds() -> None:
    assert rfc3339(0) == "1970-01-01T00:00:00.000Z"
    assert rfc3339(1_767_182_400.25) == "2025-12-31T12:00:00.250Z"


@pytest.mark.parametrize("sample", [-0.1, 1.1])
def test_a_sample_is_a_share(sample: float) -> None:
    with pytest.raises(ValidationError):
        LogSettings(sample=sample)


def test_every_event_of_a_worker_has_its_number() -> None:
    stream = io.StringIO()
    log = Log(LogSettings(), stream, worker=2)
    log.info("listening", address="127.0.0.1:8080", worker=7)
    assert json.loads(stream.getvalue())["worker"] == 2


def test_in_text_the_number_of_a_worker_has_its_name() -> None:
    stream = io.StringIO()
    log = Log(LogSettings(format="text"), stream, worker=2)
    log.info("listening", address="127.0.0.1:8080", worker=7)
    assert stream.getvalue().endswith(" info listening worker=2 address=127.0.0.1:8080\n")
