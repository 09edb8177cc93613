"""The upstreams, and how they are."""

from collections.abc import Iterable, Sequence
from time import monotonic
from typing import Any

from gateway.config.compile_sessions import ENDPOINTS
from gateway.insight.counting import added
from gateway.proxy.breaker import Circuit
from gateway.proxy.pool import UpstreamPool

_WORST_FIRST = ("open", "half_open", "closed")


def upstreams(pools: Iterable[UpstreamPool]) -> dict[str, Any]:
    """Return the upstreams as this process sees them, but for the gateway's own routes."""
    return {"upstreams": [_shown(pool) for pool in pools if pool.spec.name != ENDPOINTS]}


def _shown(pool: UpstreamPool) -> dict[str, Any]:
    is_checked = pool.checks is not None
    targets = [
        {
            "name": target.name,
            "healthy": target.is_healthy,
            "ejected": target.is_ejected,
            "is_checked": is_checked,
            "busy": target.busy,
            "idle": len(target.idle),
        }
        for target in pool.targets
    ]
    return {
        "name": pool.spec.name,
        "circuit": None if pool.trouble.circuit is None else _state(pool.trouble.circuit),
        "targets": targets,
        "connects": dict(pool.connector.results),
        "retries": dict(pool.retries),
        "health_checks": {} if pool.checks is None else dict(pool.checks.results),
    }


def _state(circuit: Circuit) -> str:
    if circuit.is_closed:
        return "closed"
    return "open" if circuit.spared_for(monotonic()) else "half_open"


def upstreams_together(answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the upstreams as several processes see them: healthy is what all of them find healthy."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for answer in answers:
        for upstream in answer["upstreams"]:
            by_name.setdefault(upstream["name"], []).append(upstream)
    return {"upstreams": [_together(rows) for rows in by_name.values()]}


def _together(rows: list[dict[str, Any]]) -> dict[str, Any]:
    circuits = {row["circuit"] for row in rows}
    targets: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        for target in row["targets"]:
            targets.setdefault(target["name"], []).append(target)
    return {
        "name": rows[0]["name"],
        "circuit": next((state for state in _WORST_FIRST if state in circuits), None),
        "targets": [_one_target(each) for each in targets.values()],
        **{name: added(row[name] for row in rows) for name in ("connects", "retries", "health_checks")},
    }


def _one_target(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": rows[0]["name"],
        "healthy": all(row["healthy"] for row in rows),
        "ejected": any(row["ejected"] for row in rows),
        "is_checked": rows[0]["is_checked"],
        "busy": sum(row["busy"] for row in rows),
        "idle": sum(row["idle"] for row in rows),
    }
