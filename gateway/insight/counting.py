"""How much a gateway has done since its start, over all routes."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import isinf
from typing import Any

from gateway.model.tally import DurationTally, RouteTally
from gateway.telemetry.metrics import Metrics

_SUMMED = (
    "request_bytes",
    "response_bytes",
    "connections",
    "tunnels",
    "sessions_opened",
    "store_errors",
    "memory_bytes",
    "cpu_seconds",
)
_AT_ONCE = 200
"""Routes that are looked at in one turn: less than a millisecond."""
_COUNTED = ("requests", "decisions", "exchanges", "logins", "sessions_ended")


async def counters(metrics: Metrics, at: float) -> dict[str, Any]:
    """Return the counts of one process. Times are Unix seconds; a histogram's counts are those of each bucket alone.

    With thousands of routes requests have their turn in between.
    """
    tally = RouteTally()
    for number, (_, each) in enumerate(metrics.used_routes(), 1):
        tally.include(each)
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
    process = metrics.process_numbers()
    staleness = [value for _, value in metrics.read("gateway_revocation_staleness_seconds")]
    return {
        "at": at,
        "requests": _requests(tally),
        "decisions": dict(tally.decisions()),
        "seconds": {
            "added": _histogram(tally.added),
            "upstream": _histogram(tally.upstream),
            "request": _histogram(tally.total),
        },
        "request_bytes": tally.request_bytes,
        "response_bytes": tally.response_bytes,
        "connections": _sum(metrics, "gateway_client_connections"),
        "tunnels": _sum(metrics, "gateway_tunnels"),
        "exchanges": _by_label(metrics, "gateway_exchanges_total"),
        "logins": _by_label(metrics, "gateway_logins_total"),
        "sessions_opened": _sum(metrics, "gateway_sessions_opened_total"),
        "sessions_ended": _by_label(metrics, "gateway_sessions_ended_total"),
        "revocations": _sum(metrics, "gateway_revocations"),
        "revocation_staleness": None if not staleness or isinf(staleness[0]) else staleness[0],
        "store_errors": _sum(metrics, "gateway_store_errors_total"),
        "memory_bytes": process.get("process_resident_memory_bytes", 0),
        "cpu_seconds": process.get("process_cpu_seconds_total", 0),
        "reload": last_reload(metrics),
    }


def counters_together(all_counters: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the counts of several processes as those of one."""
    staleness = [each["revocation_staleness"] for each in all_counters]
    return {
        "at": max(each["at"] for each in all_counters),
        **{name: added(each[name] for each in all_counters) for name in _COUNTED},
        "seconds": {
            kind: _histograms([each["seconds"][kind] for each in all_counters]) for kind in all_counters[0]["seconds"]
        },
        **{name: sum(each[name] for each in all_counters) for name in _SUMMED},
        "revocations": max(each["revocations"] for each in all_counters),
        "revocation_staleness": None if None in staleness else max(staleness),
        "reload": {
            "successful": all(each["reload"]["successful"] for each in all_counters),
            "at": min(each["reload"]["at"] for each in all_counters),
        },
    }


def last_reload(metrics: Metrics) -> dict[str, Any]:
    """Return whether the last reload succeeded, and when one did (Unix seconds)."""
    return {
        "successful": bool(_sum(metrics, "gateway_config_last_reload_successful")),
        "at": _sum(metrics, "gateway_config_last_reload_success_timestamp_seconds"),
    }


def route_counts(tally: RouteTally) -> dict[str, Any]:
    """Return what happened on one route."""
    return {"requests": _requests(tally), "decisions": dict(tally.decisions())}


def _requests(tally: RouteTally) -> dict[str, int]:
    requests: Counter[str] = Counter()
    for _, status, number in tally.requests():
        requests[status] += number
    return dict(requests)


def _histogram(tally: DurationTally) -> dict[str, Any]:
    return {"bounds": tally.bounds, "counts": tally.counts, "sum": tally.sum}


def _histograms(histograms: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    counts = [sum(bucket) for bucket in zip(*(each["counts"] for each in histograms), strict=True)]
    return {"bounds": histograms[0]["bounds"], "counts": counts, "sum": sum(each["sum"] for each in histograms)}


def added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Return the sums of what has the same name."""
    together: Counter[str] = Counter()
    for each in counts:
        together.update(each)
    return dict(together)


def _sum(metrics: Metrics, name: str) -> float:
    return sum(value for _, value in metrics.read(name))


def _by_label(metrics: Metrics, name: str) -> dict[str, float]:
    return {labels[0]: value for labels, value in metrics.read(name) if value}
