"""Every alert fires when it should, and not when it should not: Prometheus' own unit tests of rules."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.model.errors import Refusal
from gateway.telemetry.metrics import METRICS
from tests.deploy.monitoring import MONITORING, ROOT, RULES, alerts, dashboard_queries, rules
from tests.trips.servers import required

WHO = 'job="gateway",instance="a"'
DAY = 86400
LONG = 30
"""Minutes, above which rules are evaluated less often, to save time."""
Series = dict[str, str]
"""Values of a series by its name and labels, one a minute: `0+60x90` counts from 0 on by 60 in each of 90 minutes."""


@dataclass(frozen=True)
class Case:
    """`fires` leads to the alert after so many minutes, and to those in `too`; `quiet` to none."""

    alert: str
    minutes: int
    fires: Series
    quiet: Series
    too: tuple[str, ...] = ()


def of(name: str, **labels: str) -> str:
    """Return a series of the gateway `a`."""
    more = "".join(f',{key}="{value}"' for key, value in labels.items())
    return f"{name}{{{WHO}{more}}}"


def buckets(name: str, quick: str, all_: str, *, bound: str, **labels: str) -> Series:
    """Return a histogram of two kinds: so many within the bound, and the others within 10 s."""
    counts = {bound: quick, "10.0": all_, "+Inf": all_}
    return {of(f"{name}_bucket", le=le, **labels): values for le, values in counts.items()}


def requests(a_minute: int, minutes: int = 500, **labels: str) -> Series:
    return {of("gateway_requests_total", route="api", **labels): f"0+{a_minute}x{minutes}"}


def decisions(reason: str, a_minute: int, minutes: int = 500) -> Series:
    return {of("gateway_decisions_total", route="api", reason=reason): f"0+{a_minute}x{minutes}"}


def steady(value: float, minutes: int = 500) -> str:
    return f"{value}+0x{minutes}"


UP = of("up")
CERTIFICATE = of("gateway_certificate_expiry_timestamp_seconds", listener="0.0.0.0:8443")
HEALTHY = of("gateway_upstream_target_healthy", upstream="orders", target="http://10.0.0.1:80")

CASES = (
    Case("GatewayDown", 3, {UP: steady(0)}, {UP: "1 1 1 0 1"}),
    Case("GatewayAbsent", 7, {}, {}),
    Case(
        "GatewayWorkersMissing",
        5,
        {of("gateway_workers", state="missing"): steady(1)},
        {of("gateway_workers", state="missing"): "0 0 0 1 0 1"},
    ),
    Case(
        "GatewayWorkersDie",
        20,
        {of("gateway_worker_ends_total", how="killed"): "0x5 1 2 3 3x20"},
        {
            of("gateway_worker_ends_total", how="killed"): "0x5 1x30",
            of("gateway_worker_ends_total", how="drained"): "0+1x30",
        },
    ),
    Case(
        "GatewayBug",
        20,
        {of("gateway_decisions_total", route="api", reason="internal_error"): "_x10 1x20"},
        {of("gateway_decisions_total", route="api", reason="internal_error"): "7x30"},
    ),
    Case(
        "GatewayBug",
        20,
        {of("gateway_background_failures_total", task="revocations"): "0x10 1x20"},
        {of("gateway_background_failures_total", task="revocations"): "1x30"},
    ),
    Case(
        "GatewayLogsLost",
        20,
        {of("gateway_events_dropped_total"): "0x10 4x20"},
        {of("gateway_events_dropped_total"): "4x30"},
    ),
    Case(
        "GatewayLogsLost",
        20,
        {of("gateway_audit_log_dropped_total"): "0x10 4x20"},
        {of("gateway_audit_log_dropped_total"): "4x30"},
    ),
    Case(
        "GatewayLogsLost",
        20,
        {of("gateway_access_log_dropped_total"): "0x10 4x20"},
        {of("gateway_access_log_dropped_total"): "4x30"},
    ),
    Case("GatewayLimitsReached", 20, decisions("request_limit", 6), decisions("rate_limited", 6)),
    Case(
        "GatewayLimitsReached",
        20,
        {of("gateway_client_cut_total", reason="crowded_out"): "0+6x30"},
        {of("gateway_client_cut_total", reason="silent"): "0+600x30"},
    ),
    Case(
        "GatewayLimitsReached",
        20,
        {of("gateway_endpoint_answers_total", endpoint="login", result="login_saturated"): "0+6x30"},
        {of("gateway_endpoint_answers_total", endpoint="login", result="too_many_attempts"): "0+6x30"},
    ),
    Case(
        "GatewayTracesLost",
        20,
        {of("gateway_spans_total", result="exported"): "0x30", of("gateway_spans_total", result="failed"): "0+60x30"},
        {
            of("gateway_spans_total", result="exported"): "0+60x30",
            of("gateway_spans_total", result="dropped"): "0+3x30",
        },
    ),
    Case(
        "GatewayBudgetBurnsFast",
        75,
        requests(600, status="2xx") | decisions("store_unavailable", 30),
        requests(600, status="2xx") | decisions("upstream_unreachable", 3) | decisions("store_unavailable", 3),
        too=("GatewayBudgetBurnsSlowly",),
    ),
    Case(
        "GatewayBudgetBurnsSlowly",
        400,
        requests(600, status="2xx") | {of("gateway_requests_total", route="gateway:token", status="5xx"): "0+6x500"},
        requests(600, status="2xx")
        | {
            of("gateway_requests_total", route="gateway:token", status="5xx"): "0+3x500",
            of("gateway_decisions_total", route="gateway:token", reason="store_unavailable"): "0+3x500",
        },
    ),
    Case(
        "GatewayAddsLatency",
        30,
        requests(60) | buckets("gateway_added_seconds", "0+58x40", "0+60x40", bound="0.025", route="api"),
        requests(60) | buckets("gateway_added_seconds", "0+60x40", "0+60x40", bound="0.025", route="api"),
    ),
    Case(
        "GatewayLatencyHigh",
        40,
        requests(60) | buckets("gateway_request_seconds", "0+50x50", "0+60x50", bound="1.0", route="api"),
        requests(1) | buckets("gateway_request_seconds", "0+0x50", "0+1x50", bound="1.0", route="api"),
    ),
    Case(
        "GatewayConfigRejected",
        10,
        {of("gateway_config_last_reload_successful"): steady(0)},
        {of("gateway_config_last_reload_successful"): "1 1 1 1 1 1 1 0 0 0 0"},
    ),
    Case("GatewayCertificateExpiresSoon", 90, {CERTIFICATE: steady(10 * DAY)}, {CERTIFICATE: steady(15 * DAY)}),
    Case(
        "GatewayCertificateExpires",
        90,
        {CERTIFICATE: steady(DAY)},
        {CERTIFICATE: steady(30 * DAY)},
        too=("GatewayCertificateExpiresSoon",),
    ),
    Case(
        "GatewayRefusalsSurge",
        200,
        {of("gateway_decisions_total", route="api", reason="unknown_key"): "0+60x180 11700+900x40"},
        decisions("unknown_key", 600) | decisions("upstream_closed", 600),
    ),
    Case(
        "GatewayRefusalsSurge", 20, decisions("missing_credentials", 120, 30), decisions("missing_credentials", 50, 30)
    ),
    Case(
        "GatewayRateLimitsBite",
        20,
        requests(600) | decisions("rate_limited", 120),
        requests(600) | decisions("rate_limited", 30),
    ),
    Case(
        "GatewayRateLimitsNotShared",
        20,
        {of("gateway_rate_limit_exchanges_total", result=result): "0+300x30" for result in ("ok", "failed")},
        {
            of("gateway_rate_limit_exchanges_total", result="ok"): "0+600x30",
            of("gateway_rate_limit_exchanges_total", result="failed"): "0+6x30",
        },
    ),
    Case(
        "GatewayKeyFetchFails",
        30,
        {
            of("gateway_key_fetches_total", authenticator="main", result="ok"): "1x40",
            of("gateway_key_fetches_total", authenticator="main", result="failed"): "0+1x40",
        },
        {
            of("gateway_key_fetches_total", authenticator="main", result="ok"): "0x20 1x20",
            of("gateway_key_fetches_total", authenticator="main", result="failed"): "0+1x40",
        },
    ),
    Case(
        "GatewayKeysOld",
        400,
        {of("gateway_keys_age_seconds", authenticator="main"): "0+60x500"},
        {of("gateway_keys_age_seconds", authenticator="main"): "0+60x300 0+60x200"},
    ),
    Case("GatewayKeysUnavailable", 10, decisions("keys_unavailable", 1), decisions("unknown_key", 1)),
    *(
        Case(
            "GatewayTokenReuse",
            12,
            {of("gateway_sessions_ended_total", reason=reason): "0x10 1x10"},
            {
                of("gateway_sessions_ended_total", reason=reason): "3x20",
                of("gateway_sessions_ended_total", reason="logout"): "0+9x20",
            },
        )
        for reason in ("reuse", "early_exchange", "pair_mismatch")
    ),
    Case(
        "GatewayTokenReuseMany",
        60,
        {of("gateway_sessions_ended_total", reason="reuse"): "0+1x70"},
        {of("gateway_sessions_ended_total", reason="reuse"): "0+1x10 10x60"},
        too=("GatewayTokenReuse",),
    ),
    Case(
        "GatewayAlarmsLost",
        12,
        {of("gateway_alarms_total", result="failed"): "0x10 1x10"},
        {of("gateway_alarms_total", result="failed"): "1x20", of("gateway_alarms_total", result="ok"): "0+1x20"},
    ),
    Case(
        "GatewayExchangesRefused",
        20,
        {
            of("gateway_exchanges_total", result="rotated"): "0+20x30",
            of("gateway_exchanges_total", result="unknown_refresh_token"): "0+30x30",
        },
        {
            of("gateway_exchanges_total", result="rotated"): "0+20x30",
            of("gateway_exchanges_total", result="repeated"): "0+90x30",
            of("gateway_exchanges_total", result="expired_session"): "0+10x30",
        },
    ),
    Case(
        "GatewayLoginsGuessed",
        20,
        {
            of("gateway_logins_total", result="ok"): "0+30x30",
            of("gateway_logins_total", result="wrong_password"): "0+120x30",
        },
        {
            of("gateway_logins_total", result="ok"): "0+600x30",
            of("gateway_logins_total", result="wrong_password"): "0+120x30",
        },
    ),
    Case(
        "GatewayLoginsFail",
        20,
        {
            of("gateway_logins_total", result="ok"): "0+30x30",
            of("gateway_logins_total", result="unavailable"): "0+30x30",
        },
        {
            of("gateway_logins_total", result="ok"): "0+30x30",
            of("gateway_logins_total", result="unavailable"): "0+1x30",
        },
    ),
    Case(
        "GatewayRevocationsStale",
        5,
        {
            of("gateway_revocation_staleness_seconds"): "6+0x9",
            of("gateway_revocation_max_staleness_seconds"): "10+0x9",
        },
        {
            of("gateway_revocation_staleness_seconds"): "16 16 16 16 16 Inf",
            of("gateway_revocation_max_staleness_seconds"): "60+0x9",
        },
    ),
    Case(
        "GatewayStoreErrors",
        6,
        {
            of("gateway_store_errors_total", operation="commit"): "0+6x20",
            of("gateway_store_seconds_count", operation="commit"): "0+60x20",
        },
        {
            of("gateway_store_errors_total", operation="commit"): "0 0 0 1 1 1 1 1 1 1 1 1 1",
            of("gateway_store_seconds_count", operation="commit"): "0 0 0 2 2 2 2 2 2 2 2 2 2",
        },
    ),
    Case(
        "GatewayStoreSlow",
        30,
        buckets("gateway_store_seconds", "0+50x40", "0+60x40", bound="0.25", operation="load"),
        buckets("gateway_store_seconds", "0+0x40", "0+60x40", bound="0.25", operation="snapshot"),
    ),
    Case(
        "GatewayStoreLostData",
        12,
        {of("gateway_revocation_resyncs_total", cause="rewound"): "0x10 1x10"},
        {of("gateway_revocation_resyncs_total", cause="trimmed"): "0x10 1x10"},
    ),
    Case(
        "GatewayStoreLostData",
        12,
        {of("gateway_exchanges_healed_total"): "0x10 3x10"},
        {of("gateway_exchanges_healed_total"): "3x20"},
    ),
    Case(
        "GatewayUpstreamErrors",
        20,
        requests(60) | decisions("connect_timeout", 6),
        requests(60) | decisions("connect_timeout", 2) | decisions("client_gone", 30),
    ),
    Case(
        "GatewayAnswers5xx",
        20,
        requests(60, status="5xx") | requests(120, status="2xx"),
        requests(60, status="4xx") | requests(120, status="2xx") | requests(6, status="5xx"),
    ),
    Case("GatewayTargetDown", 10, {HEALTHY: steady(0)}, {HEALTHY: "1 0 0 0 0 1 0 0 0 0 0"}),
    Case(
        "GatewayCircuitOpen",
        5,
        {of("gateway_upstream_circuit_open", upstream="orders"): steady(1)},
        {of("gateway_upstream_circuit_open", upstream="orders"): "0 0 1 0 0 1"},
    ),
)


def test_promtool_accepts_the_rules() -> None:
    done = subprocess.run([required("promtool"), "check", "rules", str(RULES)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_fires_when_it_should_and_not_when_it_should_not(tmp_path: Path) -> None:
    """Whatever else fires is a failure as well. Each case is a job of its own among others, to evaluate rules once."""
    about_up = [case for case in CASES if case.alert in ("GatewayDown", "GatewayAbsent")]
    others = [case for case in CASES if case not in about_up]
    alone = [[_Run(case, "gateway", fires)] for case in about_up for fires in (True, False)]
    short = [run for case in others if case.minutes <= LONG for run in _both(case)]
    long = [run for case in others if case.minutes > LONG for run in _both(case)]
    _promtool_tests(tmp_path / "short.yaml", "1m", [*alone, short])
    _promtool_tests(tmp_path / "long.yaml", "5m", [long])


def test_every_alert_has_a_case() -> None:
    assert {case.alert for case in CASES} == set(alerts())


@pytest.mark.parametrize("name", alerts())
def test_an_alert_says_how_urgent_it_is_and_what_is_the_matter(name: str) -> None:
    alert = alerts()[name]
    assert alert["labels"] in ({"severity": "critical"}, {"severity": "warning"})
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_rules_name_metrics_and_labels_that_there_are(rule: dict[str, Any]) -> None:
    labels = {metric.name: {*metric.labels, "job", "instance", "namespace"} for metric in METRICS}
    recorded = {each["record"] for each in rules() if "record" in each}
    for name, selector in re.findall(r"\b((?:\w+:)?gateway_\w+(?::\w+)?)(?:\{([^}]*)\})?", rule["expr"]):
        if name in recorded:
            continue
        metric = next(each for each in (name, re.sub("_(bucket|count|sum)$", "", name)) if each in labels)
        assert set(re.findall(r"(\w+)(?:=|!)", selector)) <= labels[metric], name


@pytest.mark.parametrize("name", sorted(alerts()))
def test_reasons_that_an_alert_names_are_reasons(name: str) -> None:
    known = {"allow", "allow_stale", "preflight", *(each.reason for each in _refusals())}
    for pattern in re.findall(r'reason!?=~?"([^"]*)"', alerts()[name]["expr"]):
        for reason in pattern.split("|"):
            assert any(re.fullmatch(reason, each) for each in known | CUTS | ENDS_AS_STOLEN), reason


def test_a_surge_of_any_refusal_is_noticed_and_of_no_failure() -> None:
    [pattern] = re.findall(r'reason!~"([^"]*)"', alerts()["GatewayRefusalsSurge"]["expr"])
    for refusal in _refusals():
        status = getattr(refusal, "status", None)
        is_left_out = re.fullmatch(pattern, refusal.reason) is not None
        is_failure = status is None or status == 499 or status in (500, 502, 503, 504)
        if status is not None and refusal.reason != "rate_limited":
            assert is_left_out == is_failure, refusal.reason


def test_the_runbook_has_a_section_for_every_alert_and_for_no_other() -> None:
    sections = re.findall(r"(?m)^### (\w+)$", (ROOT / "docs" / "runbook.md").read_text())
    assert sorted(sections) == sorted(alerts())
    for name, alert in alerts().items():
        assert alert["annotations"]["runbook_url"] == f"docs/runbook.md#{name.lower()}"


def test_every_section_of_the_runbook_says_what_it_means_what_to_look_at_and_what_to_do() -> None:
    sections = re.split(r"(?m)^### ", (ROOT / "docs" / "runbook.md").read_text())[1:]
    for section in sections:
        words = re.findall(r"(?m)^\* \*\*(Means|Look|Do|Do not):\*\*", section)
        assert words == ["Means", "Look", "Do", "Do not"], section.partition("\n")[0]


CUTS = {"crowded_out", "refused"}
ENDS_AS_STOLEN = {"reuse", "early_exchange", "pair_mismatch"}


@dataclass(frozen=True)
class _Run:
    case: Case
    job: str
    fires: bool

    def series(self) -> Series:
        series = self.case.fires if self.fires else self.case.quiet
        if self.job != "gateway" or not self.fires:
            series = {UP: steady(1), **series}
        return {name.replace('job="gateway"', f'job="{self.job}"'): values for name, values in series.items()}

    def test(self) -> dict[str, Any]:
        names = (self.case.alert, *self.case.too) if self.fires else ()
        return {
            "expr": f'count by (alertname) (ALERTS{{alertstate="firing",job="{self.job}"}})',
            "eval_time": f"{self.case.minutes}m",
            "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in names],
        }


def _both(case: Case) -> tuple[_Run, _Run]:
    name = f"{case.alert} {CASES.index(case)}"
    return _Run(case, f"{name} fires", True), _Run(case, f"{name} is quiet", False)


def _promtool_tests(file: Path, every: str, groups: list[list[_Run]]) -> None:
    tests = [
        {
            "name": ", ".join(run.job for run in runs),
            "interval": "1m",
            "input_series": [{"series": name, "values": v} for run in runs for name, v in run.series().items()],
            "promql_expr_test": [run.test() for run in runs],
        }
        for runs in groups
    ]
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": every, "tests": tests}))
    done = subprocess.run([required("promtool"), "test", "rules", str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def _refusals(parent: type[Refusal] = Refusal) -> list[type[Refusal]]:
    return [parent, *(each for child in parent.__subclasses__() for each in _refusals(child))]


@pytest.mark.parametrize("name", [metric.name for metric in METRICS])
def test_every_metric_is_on_the_dashboard(name: str) -> None:
    assert any(re.search(rf"\b{name}(_bucket)?\b", query) for _, query in dashboard_queries())


def test_the_dashboard_is_what_its_script_writes() -> None:
    written = subprocess.run(
        [required("python3"), str(MONITORING / "dashboard.py")], capture_output=True, text=True, check=True
    )
    assert written.stdout == (MONITORING / "dashboard.json").read_text()
