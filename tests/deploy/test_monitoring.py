"""What a real Prometheus sees of real gateways in trouble: every query of rules and dashboard finds something."""

import re
import time
from collections.abc import Iterator

import pytest

from tests.clients.processes import PATIENCE
from tests.deploy.monitoring import alerts, dashboard_queries, dashboard_variables, rules
from tests.deploy.prometheus import Prometheus
from tests.deploy.scene import Scene, played

SILENT = {
    "GatewayAbsent": "there are gateways",
    "GatewayBug": "there is no bug to call",
    "GatewayLogsLost": "the logs are taken",
    "GatewayTracesLost": "there are no traces",
    "GatewayKeysOld": "takes six hours",
}
"""Alerts that this scenario does not lead to, and why. That each of them can fire, test_monitoring_rules.py shows."""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with played(tmp_path_factory.mktemp("monitoring")) as scene:
        yield scene


def test_every_query_of_the_rules_finds_something_when_it_should(scene: Scene) -> None:
    queries = {rule.get("alert") or rule["record"]: rule["expr"] for rule in rules() if rule.get("alert") not in SILENT}
    assert _without_answer(scene.prometheus, queries) == {}


def test_every_query_of_the_dashboard_finds_something(scene: Scene) -> None:
    assert _without_answer(scene.prometheus, dict(dashboard_queries())) == {}


def test_every_series_that_a_silent_alert_watches_is_there(scene: Scene) -> None:
    selectors = re.findall(r"\bgateway_\w+", " ".join(alerts()[name]["expr"] for name in SILENT))
    assert _without_answer(scene.prometheus, {each: each for each in selectors}) == {}


def test_the_variables_of_the_dashboard_have_values(scene: Scene) -> None:
    for name, query, label in dashboard_variables():
        assert {each.get(label) for each in scene.prometheus.series(query)} - {None}, name


def test_what_alerts_say_can_be_said(scene: Scene) -> None:
    """Prometheus has filled in the templates of all that are pending or fire."""
    said: dict[str, list[str]] = {}
    end = time.monotonic() + PATIENCE
    while said.keys() != alerts().keys() - SILENT:  # some come and go
        assert time.monotonic() < end, alerts().keys() - SILENT - said.keys()
        for alert in scene.prometheus.get("alerts")["alerts"]:
            said[alert["labels"]["alertname"]] = list(alert["annotations"].values())
        time.sleep(0.2)
    assert [
        text for texts in said.values() for text in texts if re.search(r"error expanding|<no value>|%!", text)
    ] == []


def _without_answer(prometheus: Prometheus, queries: dict[str, str]) -> dict[str, str]:
    """Return the queries that find nothing, after a while."""
    end = time.monotonic() + PATIENCE
    left = dict(queries)
    while left and time.monotonic() < end:
        left = {name: query for name, query in left.items() if not prometheus.series(query)}
        time.sleep(0.5 if left else 0)
    return left
