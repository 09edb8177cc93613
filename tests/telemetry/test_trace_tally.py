"""Spans that are lost are told once for a row of failures, and so is the end of it."""

import asyncio
import io
import json

import pytest

from gateway.telemetry.log import Log
from gateway.telemetry.log_settings import LogSettings
from gateway.telemetry.trace_tally import SpanTally
from tests.trips.wire import eventually


async def test_lost_spans_are_told_once_and_so_is_the_end_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.telemetry.trace_tally._LOOK_EVERY", 0.01)
    told, tally = io.StringIO(), SpanTally()
    watch = asyncio.create_task(tally.keep_telling(Log(LogSettings(), told)))
    tally.results["failed"] += 3
    await eventually(told.getvalue)
    tally.results["dropped"] += 1
    tally.results["exported"] += 1

    def is_restored() -> bool:
        tally.results["exported"] += 1
        return "traces_restored" in told.getvalue()

    await eventually(is_restored)
    watch.cancel()
    events = [json.loads(line) for line in told.getvalue().splitlines()]
    assert [(event["event"], event["level"], event["lost"]) for event in events] == [
        ("traces_failed", "warning", 3),
        ("traces_restored", "info", 4),
    ]
    assert dict(tally.counts()) == {(name,): number for name, number in tally.results.items()}
