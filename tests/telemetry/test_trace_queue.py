"""Spans on their way out: nobody waits for them, and what does not fit is counted."""

import threading
from collections import Counter
from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanContext, TraceFlags

from gateway.telemetry.trace_queue import SpanQueue

PATIENCE = 10


class Exporter(SpanExporter):
    """Takes spans when it is allowed to."""

    def __init__(self) -> None:
        self.may_go_on = threading.Event()
        self.asked = threading.Event()
        self.batches: list[int] = []
        self.fails = False
        self.is_shut_down = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.asked.set()
        self.may_go_on.wait(PATIENCE)
        if self.fails:
            raise RuntimeError("a bug of the library")
        self.batches.append(len(spans))
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self.is_shut_down = True
        self.may_go_on.set()


@pytest.fixture
def exporter() -> Exporter:
    return Exporter()


def a_span(*, sampled: bool = True) -> ReadableSpan:
    return ReadableSpan("x", SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(sampled)))


def test_a_receiver_that_is_stuck_costs_spans_and_no_time(exporter: Exporter) -> None:
    results: Counter[str] = Counter()
    queue = SpanQueue(exporter, 5, results, linger=0)
    queue.on_end(a_span())
    assert exporter.asked.wait(PATIENCE)
    for _ in range(8):
        queue.on_end(a_span())
    assert results == {"dropped": 3}
    exporter.may_go_on.set()
    queue.close(PATIENCE)
    assert exporter.batches == [1, 5]
    assert results == {"dropped": 3, "exported": 6}


def test_an_end_waits_for_a_stuck_receiver_only_so_long(exporter: Exporter) -> None:
    results: Counter[str] = Counter()
    queue = SpanQueue(exporter, 5, results, linger=0)
    queue.on_end(a_span())
    assert exporter.asked.wait(PATIENCE)
    queue.on_end(a_span())
    queue.close(patience=0)
    assert exporter.is_shut_down
    queue.on_end(a_span())
    assert results["dropped"] == 2


def test_what_waits_is_sent_together_at_the_end(exporter: Exporter) -> None:
    results: Counter[str] = Counter()
    exporter.may_go_on.set()
    queue = SpanQueue(exporter, 5000, results, linger=PATIENCE)
    span = a_span()
    for _ in range(600):
        queue.on_end(span)
    queue.on_end(a_span(sampled=False))
    queue.shutdown()
    assert sum(exporter.batches) == results["exported"] == 600
    assert len(exporter.batches) <= 3


def test_a_bug_of_the_exporter_ends_nothing(exporter: Exporter) -> None:
    results: Counter[str] = Counter()
    exporter.fails = True
    exporter.may_go_on.set()
    queue = SpanQueue(exporter, 5, results, linger=0)
    queue.on_end(a_span())
    queue.close(PATIENCE)
    assert results == {"failed": 1, "dropped": 0}
    assert queue.force_flush()


def test_without_spans_there_is_no_thread(exporter: Exporter) -> None:
    before = threading.active_count()
    SpanQueue(exporter, 5, Counter()).close()
    assert threading.active_count() == before
