"""What `gateway top` shows, as plain data: for the terminal, and as JSON."""

from collections.abc import Mapping
from typing import Any, Final

from gateway.commands.watching.sample import Between, Sample
from gateway.telemetry.access_log import PASSED

View = Mapping[str, Any]

_SHARES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


def view_of(earlier: Sample, now: Sample) -> View:
    """Return what happened between two samples, a second, and how things are now."""
    between, counters, me = Between(earlier, now), now.counters, now.me
    decisions = between.rates("decisions")
    refused = sum(rate for reason, rate in decisions.items() if reason not in PASSED)
    decided = sum(decisions.values())
    return {
        "at": counters["at"],
        "over_seconds": between.seconds,
        "gateway": {**me["gateway"], "actor": me["actor"], "role": me["role"]},
        "workers": counters["workers"],
        "requests": {"per_second": sum(between.rates("requests").values()), "by_status": between.rates("requests")},
        "refused": {
            "per_second": refused,
            "share": refused / decided if decided else 0.0,
            "reasons": _reasons(decisions, counters["decisions"]),
        },
        "seconds": {name: between.quantiles(name, _SHARES) for name in ("added", "upstream", "request")},
        "bytes_per_second": {"in": between.rate("request_bytes"), "out": between.rate("response_bytes")},
        "connections": counters["connections"],
        "tunnels": counters["tunnels"],
        "memory_bytes": counters["memory_bytes"],
        "cpu_share": between.rate("cpu_seconds"),
        "exchanges_per_second": between.rates("exchanges"),
        "logins_per_second": between.rates("logins"),
        "sessions": {
            "opened_per_second": between.rate("sessions_opened"),
            "ended_per_second": between.rates("sessions_ended"),
        },
        "revocations": counters["revocations"],
        "revocation_staleness": counters["revocation_staleness"],
        "store_errors": counters["store_errors"],
        "reload": counters["reload"],
        "upstreams": [_upstream(upstream) for upstream in now.upstreams],
        "routes": _routes(between, now),
    }


def _reasons(rates: Mapping[str, float], totals: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return every reason that there was, that of most refusals now first, then since the start."""
    rows = [
        {"reason": reason, "per_second": rates[reason], "total": total}
        for reason, total in totals.items()
        if total and reason not in PASSED
    ]
    return sorted(rows, key=lambda row: (-row["per_second"], -row["total"], row["reason"]))


def _upstream(upstream: Mapping[str, Any]) -> dict[str, Any]:
    targets = upstream["targets"]
    usable = [target for target in targets if target["healthy"] and not target["ejected"]]
    return {
        "name": upstream["name"],
        "circuit": upstream["circuit"],
        "usable": len(usable),
        "unusable": [target["name"] for target in targets if target not in usable],
        "busy": sum(target["busy"] for target in targets),
        "idle": sum(target["idle"] for target in targets),
    }


def _routes(between: Between, now: Sample) -> list[dict[str, Any]]:
    """Return the routes that refused something, that with most refusals now first, then since the start."""
    rows = []
    for route_id, route in now.routes.items():
        refusals = {reason: number for reason, number in route["decisions"].items() if number and reason not in PASSED}
        if not refusals:
            continue
        rates = between.route_rates(route_id, "decisions")
        refused = {reason: rates[reason] for reason in refusals}
        mostly = max(refusals, key=lambda reason: (refused[reason], refusals[reason]))
        rows.append(
            {
                "id": route_id,
                "per_second": sum(rates.values()),
                "refused_per_second": sum(refused.values()),
                "refused_total": sum(refusals.values()),
                "mostly": mostly,
            }
        )
    return sorted(rows, key=lambda row: (-row["refused_per_second"], -row["refused_total"], row["id"]))
