import json
import os
from typing import Any

import pytest

from gateway.telemetry.access_log import AccessEntry, AccessLog
from gateway.telemetry.lines import LineWriter
from gateway.telemetry.log_settings import LogFormat, LogSettings

ALLOWED = AccessEntry(
    time=1_767_182_400.25,
    request_id="0198c0de4bd7",
    route="orders",
    method="GET",
    path="/api/orders/17",
    status=200,
    reason="allow",
    client="10.1.2.3",
    subject="alice",
    authenticator="corporate",
    token_id="c0ffee",
    upstream="orders",
    target="10.9.8.7:8080",
    request_bytes=0,
    response_bytes=1234,
    duration_ms=3.14159,
    added_ms=0.27,
    upstream_ms=2.87,
    protocol="http/1.1",
    user_agent="curl/8.5",
    error=None,
    trace_id="0af7651916cd43dd8448eb211c80319c",
)
REFUSED = AccessEntry(
    time=1_767_182_401.0,
    request_id="0198c0de4bd8",
    route=None,
    method="GET",
    path="/nowhere",
    status=404,
    reason="no_route",
    client="unix",
    subject=None,
    authenticator=None,
    token_id=None,
    upstream=None,
    target=None,
    request_bytes=0,
    response_bytes=0,
    duration_ms=0.1,
    added_ms=None,
    upstream_ms=None,
    protocol="http/1.1",
    user_agent=None,
    error="no route has this path",
)


def logged(form: LogFormat, *entries: AccessEntry) -> str:
    end, descriptor = os.pipe()
    log = AccessLog(LogSettings(format=form), LineWriter(descriptor))
    for entry in entries:
        log.write(entry)
    log.close()
    os.close(descriptor)
    with open(end, "rb") as pipe:
        return pipe.read().decode("ascii")


def log_with(chance: float = 0.5, **settings: Any) -> AccessLog:
    return AccessLog(LogSettings(**settings), chance=lambda: chance)


def test_a_json_line_has_every_field_in_order() -> None:
    line = json.loads(logged("json", ALLOWED))
    assert tuple(line) == AccessEntry._fields
    assert line == ALLOWED._asdict() | {"time": "2025-12-31T12:00:00.250Z", "duration_ms": 3.142}


def test_what_is_not_known_is_null() -> None:
    expected = REFUSED._asdict() | {"time": "2025-12-31T12:00:01.000Z"}
    del expected["trace_id"]  # not there without traces
    assert json.loads(logged("json", REFUSED)) == expected


def test_a_text_line_has_the_trace_where_there_is_one() -> None:
    assert logged("text", ALLOWED).endswith("error=- trace_id=0af7651916cd43dd8448eb211c80319c\n")


def test_a_null_is_never_mistaken_for_a_subject_of_that_name() -> None:
    filled: dict[str, Any] = {
        name: "null"
        for name, value in REFUSED._asdict().items()
        if value is None and not name.endswith(("_ms", "trace_id"))
    }
    line = json.loads(logged("json", REFUSED._replace(**filled)))
    assert {name: line[name] for name in filled} == filled


def test_lines_of_one_second_and_of_the_next_have_their_own_time() -> None:
    entries = (ALLOWED, ALLOWED._replace(time=1_767_182_400.5), ALLOWED._replace(time=1_767_182_401.001))
    times = [json.loads(line)["time"] for line in logged("json", *entries).splitlines()]
    assert times == ["2025-12-31T12:00:00.250Z", "2025-12-31T12:00:00.500Z", "2025-12-31T12:00:01.000Z"]


def test_a_text_line_has_every_field() -> None:
    assert logged("text", REFUSED) == (
        "2025-12-31T12:00:01.000Z request_id=0198c0de4bd8 route=- method=GET path=/nowhere status=404 reason=no_route "
        "client=unix subject=- authenticator=- token_id=- upstream=- target=- request_bytes=0 response_bytes=0 "
        'duration_ms=0.100 added_ms=- upstream_ms=- protocol=http/1.1 user_agent=- error="no route has this path"\n'
    )


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize(
    "field", ["path", "user_agent", "subject", "token_id", "method", "client", "request_id", "error"]
)
def test_log_injection_stays_within_one_line_of_printable_ascii(form: LogFormat, field: str) -> None:
    hostile = 'x\r\n{"status":200}\x1b[2J\u2028\x00\x7f\udcff"\\'
    changed: dict[str, Any] = {field: hostile}
    line = logged(form, ALLOWED._replace(**changed))
    assert line.endswith("\n")
    assert all(" " <= character <= "~" for character in line[:-1])
    assert form == "text" or json.loads(line)[field] == hostile


def test_without_sampling_every_request_is_wanted() -> None:
    assert log_with(sample=1.0).wants(200, "allow")


def test_what_went_well_is_sampled() -> None:
    assert log_with(chance=0.09, sample=0.1).wants(200, "allow")
    assert not log_with(chance=0.1, sample=0.1).wants(200, "allow")
    assert not log_with(chance=0.1, sample=0.1).wants(204, "preflight")
    assert not log_with(chance=0.0, sample=0.0).wants(200, "allow")


def test_refusals_and_server_errors_are_always_wanted() -> None:
    log = log_with(chance=0.99, sample=0.0)
    assert log.wants(401, "expired_token")
    assert log.wants(499, "client_gone")
    assert log.wants(502, "allow")


def test_nothing_is_wanted_when_it_is_off() -> None:
    log = log_with(access=False)
    assert not log.wants(200, "allow")
    assert not log.wants(500, "internal_error")


def test_lines_go_to_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    log = log_with()
    log.write(ALLOWED)
    log.close()
    assert json.loads(capfd.readouterr().out)["request_id"] == "0198c0de4bd7"


def test_lost_lines_are_counted() -> None:
    end, descriptor = os.pipe()
    log = AccessLog(LogSettings(), LineWriter(descriptor, max_waiting=0))
    log.write(ALLOWED)
    log.flush()
    assert list(log.dropped()) == [((), 1)]
    os.close(descriptor)
    os.close(end)
