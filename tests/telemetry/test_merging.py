"""Several processes, one set of numbers."""

import math

import pytest

from gateway.telemetry.merging import Ledger, Numbers, from_json, numbers_of, to_json
from gateway.telemetry.metrics import METRICS, Metrics, Scrape

REQUESTS = "gateway_requests_total"


def counted(requests: float, *, seconds: tuple[float, ...] = (), connections: float = 0) -> Numbers:
    metrics = Metrics("1.2.3")
    metrics.observe("gateway_client_connections", lambda: [((), connections)])
    metrics.observe("gateway_background_failures_total", lambda: [(("app",), requests)])
    for each in seconds:
        metrics.route("a").record("GET", 200, "allow", each, each)
    return from_json(to_json(numbers_of(metrics.scrape())))


def failures(scrape: Scrape) -> float:
    return dict(scrape.readings["gateway_background_failures_total"])["app",]


def added(scrape: Scrape) -> tuple[int, float]:
    [(_, _, counts, total)] = scrape.durations["gateway_added_seconds"]
    return sum(counts), total


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def test_numbers_survive_the_way_to_the_parent() -> None:
    metrics = Metrics("1.2.3")
    metrics.route("a").record("GET", 200, "allow", 0.5, 0.001, 0.4)
    metrics.observe("gateway_revocation_staleness_seconds", lambda: [((), math.inf)])
    numbers = numbers_of(metrics.scrape())
    assert from_json(to_json(numbers)) == numbers
    assert numbers.readings[REQUESTS] == {("a", "GET", "2xx"): 1}
    assert numbers.readings["process_open_fds"][()] > 0


def test_what_processes_count_is_summed(ledger: Ledger) -> None:
    ledger.take("one", counted(3, seconds=(0.25, 5.0), connections=10))
    ledger.take("two", counted(4, seconds=(0.25,), connections=1))
    merged = ledger.merged(Numbers())
    assert failures(merged) == 7
    assert added(merged) == (3, 5.5)
    assert merged.readings["gateway_client_connections"] == [((), 11)]


def test_what_an_ended_process_counted_stays_and_what_it_held_does_not(ledger: Ledger) -> None:
    ledger.take("one", counted(3, seconds=(0.25,), connections=10))
    ledger.take("two", counted(4, connections=1))
    ledger.retire("one")
    ledger.take("three", counted(1, seconds=(0.5,)))
    merged = ledger.merged(Numbers())
    assert failures(merged) == 8
    assert added(merged) == (2, 0.75)
    assert merged.readings["gateway_client_connections"] == [((), 1)]
    ledger.retire("three")
    ledger.retire("never heard of")
    assert failures(ledger.merged(Numbers())) == 8


def test_a_count_that_begins_anew_does_not_make_the_sum_go_backwards(ledger: Ledger) -> None:
    ledger.take("one", counted(100, seconds=(0.25, 0.25)))
    ledger.take("one", counted(2, seconds=(0.5,)))
    assert failures(ledger.merged(Numbers())) == 102
    assert added(ledger.merged(Numbers())) == (3, 1.0)
    ledger.take("one", counted(3, seconds=(0.5, 0.5)))
    assert failures(ledger.merged(Numbers())) == 103
    assert added(ledger.merged(Numbers())) == (4, 1.5)


def test_a_count_that_is_gone_stays_in_the_sum(ledger: Ledger) -> None:
    ledger.take("one", counted(100, seconds=(0.25,)))
    ledger.take("one", Numbers())
    assert failures(ledger.merged(Numbers())) == 100
    assert added(ledger.merged(Numbers())) == (1, 0.25)


def test_numbers_that_are_told_twice_count_once(ledger: Ledger) -> None:
    for _ in range(2):
        ledger.take("one", counted(5, seconds=(0.25,)))
    assert failures(ledger.merged(Numbers())) == 5
    assert added(ledger.merged(Numbers())) == (1, 0.25)


@pytest.mark.parametrize(
    ("name", "values", "together"),
    [
        ("gateway_config_last_reload_successful", (1, 0), 0),
        ("gateway_revocation_staleness_seconds", (1, math.inf), math.inf),
        ("gateway_tunnels", (2, 3), 5),
        ("process_start_time_seconds", (20, 10), 10),
        ("process_resident_memory_bytes", (20, 10), 30),
    ],
)
def test_the_table_says_what_a_gauge_is_for_all(
    ledger: Ledger, name: str, values: tuple[float, float], together: float
) -> None:
    for process, value in enumerate(values):
        ledger.take(process, Numbers({name: {(): value}}))
    assert ledger.merged(Numbers()).readings[name] == [((), together)]


def test_the_merged_numbers_are_shown_like_those_of_one_process(ledger: Ledger) -> None:
    ledger.take("one", counted(3, seconds=(0.25,)))
    text = ledger.merged(Numbers({"gateway_workers": {("ready",): 1}})).render(None)[0].decode()
    assert 'gateway_background_failures_total{task="app"} 3.0\n' in text
    assert 'gateway_workers{state="ready"} 1.0\n' in text
    assert "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total " in text
    assert all(f"# TYPE {metric.name} {metric.kind}\n" in text for metric in METRICS)


def test_only_gauges_are_merged_in_different_ways() -> None:
    assert [metric.name for metric in METRICS if metric.kind != "gauge" and metric.merge != "sum"] == []
