"""What the Grafana dashboard shows, in rows of panels.

In the queries `<here>` stands for the chosen job and instances, `<route>` for these and the chosen routes, and `<t>`
for the time that a rate is taken over.
"""

from dataclasses import dataclass

ALLOWED = "allow|allow_stale|preflight"
OWN_FAILURES = (
    "internal_error|unavailable|keys_unavailable|stale_revocations|store_unavailable|unconfirmed"
    "|connection_limit|request_limit"
)


@dataclass(frozen=True)
class Panel:
    """`queries` are by legend. A stat shows one number, and is yellow and red from `steps` on."""

    title: str
    unit: str
    queries: dict[str, str]
    about: str = ""
    is_stacked: bool = False
    steps: tuple[float, float] | None = None
    is_stat: bool = False
    width: int = 8


def stat(title: str, unit: str, query: str, *steps: float, about: str = "") -> Panel:
    both = (steps[0], steps[1]) if steps else None
    return Panel(title, unit, {title: query}, about, steps=both, is_stat=True, width=4)


def quantiles(metric: str, label: str = "<route>") -> dict[str, str]:
    rates = f"sum by (le) (rate({metric}_bucket{{{label}}}[<t>]))"
    return {name: f"histogram_quantile({q}, {rates})" for name, q in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))}


def rates(by: str, metric: str, label: str = "<here>") -> dict[str, str]:
    return {f"{{{{{by}}}}}": f"sum by ({by}) (rate({metric}{{{label}}}[<t>]))"}


ROWS: dict[str, tuple[Panel, ...]] = {
    "At a glance": (
        stat("Requests", "reqps", "sum(rate(gateway_requests_total{<route>}[<t>]))"),
        stat(
            "Refused",
            "percentunit",
            f'1 - sum(rate(gateway_decisions_total{{<route>,reason=~"{ALLOWED}"}}[<t>])) '
            "/ sum(rate(gateway_decisions_total{<route>}[<t>]))",
            0.2,
            0.5,
            about="The share of requests that were not let pass, for whatever reason.",
        ),
        stat(
            "Failed by the gateway",
            "percentunit",
            f'sum(rate(gateway_decisions_total{{<route>,route!~"gateway:.*",reason=~"{OWN_FAILURES}"}}[<t>]) '
            'or rate(gateway_requests_total{<here>,route=~"gateway:.*",status="5xx"}[<t>]) '
            "or 0 * rate(gateway_requests_total{<route>}[<t>])) / sum(rate(gateway_requests_total{<route>}[<t>]))",
            0.001,
            0.0144,
            about="For a reason of its own: not the caller's fault, and not the upstream's. The objective is 0.1 %.",
        ),
        stat("Added, p99", "s", quantiles("gateway_added_seconds")["p99"], 0.01, 0.025),
        stat("News of revocations", "s", "max(gateway_revocation_staleness_seconds{<here>})", 5, 15),
        stat(
            "Stolen refresh tokens",
            "short",
            'sum(increase(gateway_sessions_ended_total{<here>,reason=~"reuse|early_exchange|pair_mismatch"}[$__range]))',
            1,
            20,
        ),
    ),
    "Requests": (
        Panel("By status", "reqps", rates("status", "gateway_requests_total", "<route>"), is_stacked=True),
        Panel(
            "Refused or failed, by reason",
            "reqps",
            rates("reason", "gateway_decisions_total", f'<route>,reason!~"{ALLOWED}"'),
            "What each reason means and what to do: docs/errors.md.",
            is_stacked=True,
        ),
        Panel("By route", "reqps", rates("route", "gateway_requests_total", "<route>"), is_stacked=True),
        Panel(
            "Refused or failed, by route",
            "reqps",
            rates("route", "gateway_decisions_total", f'<route>,reason!~"{ALLOWED}"'),
        ),
        Panel("By method", "reqps", rates("method", "gateway_requests_total", "<route>"), is_stacked=True),
        Panel(
            "Bodies",
            "Bps",
            {
                "requests": "sum(rate(gateway_request_bytes_total{<route>}[<t>]))",
                "answers": "sum(rate(gateway_response_bytes_total{<route>}[<t>]))",
            },
        ),
    ),
    "Time": (
        Panel("Added by the gateway", "s", quantiles("gateway_added_seconds"), "Head read to head written upstream."),
        Panel("Upstreams", "s", quantiles("gateway_upstream_seconds"), "Head written to head of the answer."),
        Panel("Whole requests", "s", quantiles("gateway_request_seconds"), "To the end of the answer."),
    ),
    "Sessions": (
        Panel(
            "Exchanges",
            "ops",
            rates("result", "gateway_exchanges_total"),
            "rotated is usual; repeated: parallel tabs; recovered: lost answers; all else was refused.",
        ),
        Panel("Logins", "ops", rates("result", "gateway_logins_total")),
        Panel(
            "Sessions opened and ended",
            "ops",
            {
                "opened": "sum(rate(gateway_sessions_opened_total{<here>}[<t>]))",
                "{{reason}}": "sum by (reason) (rate(gateway_sessions_ended_total{<here>}[<t>])) > 0",
            },
        ),
        Panel(
            "Refused at the endpoints",
            "ops",
            {
                "{{endpoint}} {{result}}": "sum by (endpoint, result) "
                '(rate(gateway_endpoint_answers_total{<here>,result!="ok"}[<t>]))'
            },
        ),
        Panel(
            "Age of repeated exchanges",
            "s",
            quantiles("gateway_repeat_age_seconds", "<here>"),
            "What is near recovery_window speaks for a longer one.",
        ),
        Panel(
            "Healed, and alarms",
            "short",
            {
                "healed after a failover": "sum(increase(gateway_exchanges_healed_total{<here>}[<t>]))",
                "alarms {{result}}": "sum by (result) (increase(gateway_alarms_total{<here>}[<t>]))",
            },
        ),
    ),
    "Revocations and the store": (
        Panel(
            "Age of the news of revocations",
            "s",
            {
                "{{instance}}": "gateway_revocation_staleness_seconds{<here>}",
                "max_staleness": "min(gateway_revocation_max_staleness_seconds{<here>})",
            },
            "Beyond max_staleness, requests are refused.",
        ),
        Panel("Revocations in force", "short", {"{{instance}}": "gateway_revocations{<here>}"}),
        Panel("From a revocation to its effect", "s", quantiles("gateway_revocation_delay_seconds", "<here>")),
        Panel(
            "The store, p99",
            "s",
            {
                "{{operation}}": "histogram_quantile(0.99, sum by (operation, le) "
                "(rate(gateway_store_seconds_bucket{<here>}[<t>])))"
            },
        ),
        Panel("Operations that the store failed", "ops", rates("operation", "gateway_store_errors_total")),
        Panel(
            "Read again, given back",
            "short",
            {
                "read again: {{cause}}": "sum by (cause) (increase(gateway_revocation_resyncs_total{<here>}[<t>]))",
                "given back": "sum(increase(gateway_revocations_restored_total{<here>}[<t>]))",
            },
        ),
    ),
    "Tokens and keys": (
        Panel(
            "Tokens that were known already",
            "percentunit",
            {
                "{{authenticator}}": "sum by (authenticator) "
                '(rate(gateway_token_cache_total{<here>,result="hit"}[<t>])) '
                "/ sum by (authenticator) (rate(gateway_token_cache_total{<here>}[<t>]))"
            },
        ),
        Panel(
            "Tokens remembered",
            "short",
            {"{{authenticator}}": "sum by (authenticator) (gateway_token_cache_entries{<here>})"},
        ),
        Panel(
            "Key sets",
            "ops",
            {
                "{{authenticator}} {{result}}": "sum by (authenticator, result) "
                "(rate(gateway_key_fetches_total{<here>}[<t>]))"
            },
        ),
        Panel(
            "Age of the keys", "s", {"{{authenticator}}": "max by (authenticator) (gateway_keys_age_seconds{<here>})"}
        ),
        Panel(
            "Certificates end in",
            "s",
            {"{{listener}}": "min by (listener) (gateway_certificate_expiry_timestamp_seconds{<here>}) - time()"},
        ),
    ),
    "Upstreams": (
        Panel(
            "Targets that get requests",
            "bool_yes_no",
            {"{{upstream}} {{target}}": "min by (upstream, target) (gateway_upstream_target_healthy{<here>})"},
        ),
        Panel(
            "Circuits that are open",
            "bool_yes_no",
            {"{{upstream}}": "max by (upstream) (gateway_upstream_circuit_open{<here>})"},
        ),
        Panel(
            "Ejections",
            "short",
            {
                "{{upstream}} {{target}}": "sum by (upstream, target) "
                "(increase(gateway_upstream_ejections_total{<here>}[<t>]))"
            },
        ),
        Panel(
            "Connections",
            "short",
            {"{{upstream}} {{state}}": "sum by (upstream, state) (gateway_upstream_connections{<here>})"},
        ),
        Panel(
            "Attempts to connect",
            "ops",
            {
                "{{upstream}} {{result}}": "sum by (upstream, result) "
                "(rate(gateway_upstream_connects_total{<here>}[<t>]))"
            },
        ),
        Panel(
            "Health checks",
            "ops",
            {
                "{{upstream}} {{result}}": "sum by (upstream, result) "
                "(rate(gateway_upstream_health_checks_total{<here>}[<t>]))"
            },
        ),
        Panel(
            "Retries",
            "ops",
            {
                "{{upstream}} {{kind}}": "sum by (upstream, kind) (rate(gateway_upstream_retries_total{<here>}[<t>]))",
                "{{upstream}} over the budget": "sum by (upstream) "
                "(rate(gateway_upstream_retries_refused_total{<here>}[<t>]))",
            },
        ),
    ),
    "Clients and limits": (
        Panel(
            "Open",
            "short",
            {
                "connections": "sum(gateway_client_connections{<here>})",
                "requests at {{listener}}": "sum by (listener) (gateway_client_requests{<here>})",
                "upgraded": "sum(gateway_tunnels{<here>})",
            },
        ),
        Panel(
            "Connections accepted",
            "cps",
            {"accepted": "sum(rate(gateway_client_connections_accepted_total{<here>}[<t>]))"},
        ),
        Panel("Connections cut at a limit", "cps", rates("reason", "gateway_client_cut_total")),
        Panel(
            "Rate limits: who is counted",
            "short",
            {
                "{{instance}}": "gateway_rate_limit_keys{<here>}",
                "{{instance}} forgotten": "increase(gateway_rate_limit_forgotten_total{<here>}[<t>])",
            },
        ),
        Panel("Rate limits: exchanges with the others", "ops", rates("result", "gateway_rate_limit_exchanges_total")),
    ),
    "Processes": (
        Panel("CPU", "percentunit", {"{{instance}}": "rate(process_cpu_seconds_total{<here>}[<t>])"}),
        Panel("Memory", "bytes", {"{{instance}}": "process_resident_memory_bytes{<here>}"}),
        Panel("Open files", "short", {"{{instance}}": "process_open_fds{<here>}"}),
        Panel("Workers", "short", {"{{state}}": "sum by (state) (gateway_workers{<here>})"}, is_stacked=True),
        Panel(
            "Workers that ended",
            "short",
            {"{{how}}": "sum by (how) (increase(gateway_worker_ends_total{<here>}[<t>]))"},
        ),
        Panel(
            "Background",
            "short",
            {
                "tasks of {{instance}}": "gateway_tasks{<here>}",
                "{{task}} failed": "sum by (task) (increase(gateway_background_failures_total{<here>}[<t>]))",
            },
        ),
        Panel(
            "Configuration: in force",
            "bool_yes_no",
            {"{{instance}}": "gateway_config_last_reload_successful{<here>}"},
            "No: what is on the disk has mistakes, or needs a restart.",
        ),
        Panel(
            "Configuration: reloads",
            "short",
            {"{{result}}": "sum by (result) (increase(gateway_config_reloads_total{<here>}[<t>]))"},
        ),
        Panel(
            "Configuration: age",
            "s",
            {"{{instance}}": "time() - gateway_config_last_reload_success_timestamp_seconds{<here>}"},
        ),
        Panel(
            "Log lines lost",
            "short",
            {
                "access log": "sum(increase(gateway_access_log_dropped_total{<here>}[<t>]))",
                "audit log": "sum(increase(gateway_audit_log_dropped_total{<here>}[<t>]))",
                "events": "sum(increase(gateway_events_dropped_total{<here>}[<t>]))",
            },
        ),
        Panel("Spans of traces", "ops", rates("result", "gateway_spans_total")),
        Panel(
            "Versions",
            "short",
            {
                "{{version}}, compiled: {{compiled}}": "sum by (version, compiled) (gateway_build_info{<here>})",
            },
        ),
    ),
}
