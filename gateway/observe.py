"""Tells the metrics where to read what other objects count themselves."""

import asyncio
from collections.abc import Iterator

from gateway.proxy.plane import DataPlane
from gateway.supervise import Supervisor
from gateway.telemetry.access_log import AccessLog
from gateway.telemetry.audit import AuditLog
from gateway.telemetry.log import Log
from gateway.telemetry.metrics import Metrics, Reading
from gateway.telemetry.trace_tally import SpanTally
from gateway.tokens.remote_keys import RemoteKeys


def observe(
    metrics: Metrics,
    plane: DataPlane,
    supervisor: Supervisor,
    access_log: AccessLog,
    log: Log,
    audit: AuditLog,
    spans: SpanTally,
) -> None:
    """Register one reader for each metric that is not counted by the metrics themselves."""
    upstreams, authenticators = _Upstreams(plane), _Authenticators(plane)
    metrics.observe("gateway_client_connections", lambda: [((), len(plane.connections))])
    metrics.observe("gateway_client_connections_accepted_total", lambda: [((), plane.connections_total)])
    metrics.observe("gateway_client_cut_total", lambda: [((why,), count) for why, count in plane.cuts.counts.items()])
    metrics.observe(
        "gateway_client_requests", lambda: [((door.name,), door.requests) for door in plane.hall.doors.values()]
    )
    metrics.observe("gateway_certificate_expiry_timestamp_seconds", lambda: _expiries(plane))
    metrics.observe("gateway_tunnels", lambda: [((), plane.tunnels)])
    metrics.observe("gateway_upstream_connections", upstreams.connections)
    metrics.observe("gateway_upstream_connects_total", upstreams.connects)
    metrics.observe("gateway_upstream_retries_total", upstreams.retries)
    metrics.observe("gateway_upstream_retries_refused_total", upstreams.retries_refused)
    metrics.observe("gateway_upstream_target_healthy", upstreams.healthy_targets)
    metrics.observe("gateway_upstream_ejections_total", upstreams.ejections)
    metrics.observe("gateway_upstream_circuit_open", upstreams.open_circuits)
    metrics.observe("gateway_upstream_health_checks_total", upstreams.health_checks)
    metrics.observe("gateway_token_cache_entries", authenticators.entries)
    metrics.observe("gateway_token_cache_total", authenticators.look_ups)
    metrics.observe("gateway_key_fetches_total", authenticators.fetches)
    metrics.observe("gateway_keys_age_seconds", authenticators.ages)
    metrics.observe("gateway_background_failures_total", supervisor.failures)
    metrics.observe("gateway_access_log_dropped_total", access_log.dropped)
    metrics.observe("gateway_events_dropped_total", log.dropped)
    metrics.observe("gateway_audit_log_dropped_total", audit.dropped)
    metrics.observe("gateway_spans_total", spans.counts)
    metrics.observe("gateway_tasks", lambda: [((), len(asyncio.all_tasks()))])


def _expiries(plane: DataPlane) -> Iterator[Reading]:
    for address, tls in plane.snapshot.server_tls:
        if tls.expires_at is not None:
            yield (address,), tls.expires_at


class _Upstreams:
    """Reads the pools that are in use."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane

    def connections(self) -> Iterator[Reading]:
        for name, pool in self._plane.pools.items():
            yield (name, "idle"), sum(len(target.idle) for target in pool.targets)
            yield (name, "busy"), sum(target.busy for target in pool.targets)

    def connects(self) -> Iterator[Reading]:
        for name, pool in self._plane.pools.items():
            for result, number in pool.connector.results.items():
                yield (name, result), number

    def retries(self) -> Iterator[Reading]:
        for name, pool in self._plane.pools.items():
            for kind, number in pool.retries.items():
                yield (name, kind), number

    def retries_refused(self) -> Iterator[Reading]:
        for name, pool in self._plane.pools.items():
            yield (name,), pool.budget.refused

    def healthy_targets(self) -> Iterator[Reading]:
        for name, pool in self._plane.pools.items():
            if pool.spec.health is not None or pool.spec.ejection is not None:
                for target in pool.targets:
                    yield (name, target.name), target.is_healthy and not target.is_ejected

    def ejections(self) -> Iterator[Reading]:
        for name, pool in self._plane.pools.items():
            if pool.spec.ejection is not None:
                for target in pool.targets:
                    yield (name, target.name), pool.trouble.ejected_total[target.number]

    def open_circuits(self) -> Iterator[Reading]:
        for name, pool in self._plane.pools.items():
            if pool.trouble.circuit is not None:
                yield (name,), not pool.trouble.circuit.is_closed

    def health_checks(self) -> Iterator[Reading]:
        for name, pool in self._plane.pools.items():
            if pool.checks is not None:
                for result, number in pool.checks.results.items():
                    yield (name, result), number


class _Authenticators:
    """Reads the authenticators of the Snapshot that is in use."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane

    def entries(self) -> Iterator[Reading]:
        for name, authenticator in self._plane.snapshot.authenticators.items():
            yield (name,), len(authenticator.cache)

    def look_ups(self) -> Iterator[Reading]:
        for name, authenticator in self._plane.snapshot.authenticators.items():
            yield (name, "hit"), authenticator.cache.hits
            yield (name, "miss"), authenticator.cache.misses

    def fetches(self) -> Iterator[Reading]:
        for name, keys in self._remote():
            for result, number in keys.fetches.items():
                yield (name, result), number

    def ages(self) -> Iterator[Reading]:
        for name, keys in self._remote():
            if keys.fetched_at is not None:
                yield (name,), self._plane.clock() - keys.fetched_at

    def _remote(self) -> Iterator[tuple[str, RemoteKeys]]:
        for name, authenticator in self._plane.snapshot.authenticators.items():
            if isinstance(authenticator.keys, RemoteKeys):
                yield name, authenticator.keys
