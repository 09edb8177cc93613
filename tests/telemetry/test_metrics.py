import re

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from gateway.compiled import IS_COMPILED
from gateway.telemetry.metrics import METRICS, Metrics

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples_of(metrics: Metrics) -> Samples:
    text = metrics.render(None)[0].decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("1.2.3")


def test_a_request_appears_under_its_route(metrics: Metrics) -> None:
    metrics.route("orders").record("GET", 200, "allow", 0.03, 0.0003, 0.02, 7, 1234)
    samples = samples_of(metrics)
    route = ("route", "orders")
    assert samples["gateway_requests_total", (("method", "GET"), route, ("status", "2xx"))] == 1
    assert samples["gateway_decisions_total", (("reason", "allow"), route)] == 1
    assert samples["gateway_request_bytes_total", (route,)] == 7
    assert samples["gateway_response_bytes_total", (route,)] == 1234


def test_durations_appear_as_cumulative_histograms(metrics: Metrics) -> None:
    metrics.route("orders").record("GET", 200, "allow", 0.03, 0.0003, 0.002)
    metrics.route("orders").record("GET", 200, "allow", 3600.0, 0.0001, 0.2)
    samples = samples_of(metrics)
    route = ("route", "orders")
    assert samples["gateway_added_seconds_bucket", (("le", "0.0001"), route)] == 1
    assert samples["gateway_added_seconds_bucket", (("le", "0.0005"), route)] == 2
    assert samples["gateway_upstream_seconds_bucket", (("le", "0.0025"), route)] == 1
    assert samples["gateway_request_seconds_bucket", (("le", "60.0"), route)] == 1
    assert samples["gateway_request_seconds_bucket", (("le", "+Inf"), route)] == 2
    assert samples["gateway_request_seconds_count", (route,)] == 2
    assert samples["gateway_request_seconds_sum", (route,)] == 3600.03


def test_what_matched_no_route_is_counted_under_none(metrics: Metrics) -> None:
    metrics.route(None).record("GET", 404, "no_route", 0.001)
    assert samples_of(metrics)["gateway_decisions_total", (("reason", "no_route"), ("route", "-"))] == 1


def test_a_route_keeps_its_tally(metrics: Metrics) -> None:
    assert metrics.route("orders") is metrics.route("orders")
    assert metrics.route("orders") is not metrics.route("users")


def test_a_rejected_configuration_shows_and_the_time_of_the_last_good_one_stays(metrics: Metrics) -> None:
    metrics.reloaded(1_700_000_000)
    assert samples_of(metrics)["gateway_config_last_reload_successful", ()] == 1
    metrics.reload_failed()
    samples = samples_of(metrics)
    assert samples["gateway_config_last_reload_successful", ()] == 0
    assert samples["gateway_config_last_reload_success_timestamp_seconds", ()] == 1_700_000_000


def test_the_version_is_shown(metrics: Metrics) -> None:
    assert (
        samples_of(metrics)["gateway_build_info", (("compiled", str(IS_COMPILED).lower()), ("version", "1.2.3"))] == 1
    )


def test_what_others_count_is_read_at_each_scrape(metrics: Metrics) -> None:
    cache = {"a": 1}
    metrics.observe("gateway_token_cache_entries", lambda: [(("corporate",), len(cache))])
    cache["b"] = 2
    assert samples_of(metrics)["gateway_token_cache_entries", (("authenticator", "corporate"),)] == 2
    cache["c"] = 3
    assert samples_of(metrics)["gateway_token_cache_entries", (("authenticator", "corporate"),)] == 3


def test_a_metric_that_is_not_in_the_table_cannot_be_observed(metrics: Metrics) -> None:
    with pytest.raises(ValueError, match="gateway_typo_total"):
        metrics.observe("gateway_typo_total", list)


def test_a_histogram_cannot_be_observed(metrics: Metrics) -> None:
    with pytest.raises(ValueError, match="gateway_added_seconds"):
        metrics.observe("gateway_added_seconds", list)


def test_a_metric_has_one_reader(metrics: Metrics) -> None:
    metrics.observe("gateway_tunnels", list)
    with pytest.raises(ValueError, match="reader already"):
        metrics.observe("gateway_tunnels", list)


def test_a_reading_with_the_wrong_labels_is_a_bug_and_not_a_wrong_number(metrics: Metrics) -> None:
    metrics.observe("gateway_upstream_retries_total", lambda: [((), 1)])
    with pytest.raises(ValueError, match="gateway_upstream_retries_total"):
        metrics.render(None)


def test_a_scrape_does_not_change_while_it_is_rendered(metrics: Metrics) -> None:
    tally = metrics.route("orders")
    tally.record("GET", 200, "allow", 0.03)
    scrape = metrics.scrape()
    before = scrape.render(None)[0].split(b"# HELP process_")[0]
    tally.record("GET", 500, "internal_error", 0.03)
    metrics.route("users").record("GET", 200, "allow", 0.03)
    assert scrape.render(None)[0].split(b"# HELP process_")[0] == before


def test_a_label_value_cannot_forge_a_line(metrics: Metrics) -> None:
    metrics.route('x"} 1\ngateway_forged 1\n').record("GET", 200, "allow", 0.03)
    assert not any(name == "gateway_forged" for name, _ in samples_of(metrics))


def test_two_instances_share_nothing(metrics: Metrics) -> None:
    metrics.route("orders").record("GET", 200, "allow", 0.03)
    assert b"orders" not in Metrics("1.2.3").render(None)[0]


def test_openmetrics_is_spoken_to_those_who_ask_for_it(metrics: Metrics) -> None:
    metrics.route("orders").record("GET", 200, "allow", 0.03, 0.0003, 0.02)
    body, content_type = metrics.render("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert content_type.startswith("application/openmetrics-text")
    assert any(family.name == "gateway_requests" for family in parse_openmetrics(body.decode()))  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    "accept", [None, "", "*/*", "text/plain;version=abc", "application/openmetrics-text;version=x"]
)
def test_plain_text_is_spoken_to_everybody_else(metrics: Metrics, accept: str | None) -> None:
    assert metrics.render(accept)[1].startswith("text/plain; version=0.0.4")


def test_process_metrics_are_there(metrics: Metrics) -> None:
    assert samples_of(metrics)["process_open_fds", ()] > 0


def test_the_exposition_has_every_metric_of_the_table_with_its_help_and_type(metrics: Metrics) -> None:
    text = metrics.render(None)[0].decode()
    for metric in METRICS:
        assert f"# HELP {metric.name} {metric.help}\n" in text
        assert f"# TYPE {metric.name} {metric.kind}\n" in text


def test_names_follow_the_rules_of_prometheus() -> None:
    names = [metric.name for metric in METRICS]
    assert len(names) == len(set(names))
    for metric in METRICS:
        assert re.fullmatch(r"gateway_[a-z_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert metric.kind != "histogram" or metric.name.endswith("_seconds")
        assert metric.help
        assert not metric.help.endswith(".")
        assert not {"le", "quantile", "job", "instance"} & set(metric.labels)
        assert all(re.fullmatch(r"[a-z_]+", label) for label in metric.labels)
