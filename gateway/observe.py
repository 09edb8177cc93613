"""Tells the metrics where to read what other objects count themselves. They answer for the Snapshot that is in use."""

from collections.abc import Iterator

from gateway.proxy.plane import DataPlane
from gateway.supervise import Supervisor
from gateway.telemetry.access_log import AccessLog
from gateway.telemetry.metrics import Metrics, Reading
from gateway.tokens.remote_keys import RemoteKeys


def observe(metrics: Metrics, plane: DataPlane, supervisor: Supervisor, access_log: AccessLog) -> None:
    """Register one reader for each metric that is not counted by the metrics themselves."""
    metrics.observe("gateway_client_connections", lambda: [((), len(plane.connections))])
    metrics.observe("gateway_client_connections_accepted_total", lambda: [((), plane.connections_total)])
    metrics.observe("gateway_tunnels", lambda: [((), plane.tunnels)])
    metrics.observe("gateway_background_failures_total", supervisor.failures)
    metrics.observe("gateway_access_log_dropped_total", access_log.dropped)
    _observe_upstreams(metrics, plane)
    _observe_authenticators(metrics, plane)


def _observe_upstreams(metrics: Metrics, plane: DataPlane) -> None:
    def connections() -> Iterator[Reading]:
        for name, pool in plane.pools.items():
            yield (name, "idle"), sum(len(target.idle) for target in pool.targets)
            yield (name, "busy"), sum(target.busy for target in pool.targets)

    def connects() -> Iterator[Reading]:
        for name, pool in plane.pools.items():
            for result, number in pool.connects.items():
                yield (name, result), number

    metrics.observe("gateway_upstream_connections", connections)
    metrics.observe("gateway_upstream_connects_total", connects)
    metrics.observe("gateway_upstream_retries_total", lambda: [((name,), p.retries) for name, p in plane.pools.items()])


def _observe_authenticators(metrics: Metrics, plane: DataPlane) -> None:
    def entries() -> Iterator[Reading]:
        for name, authenticator in plane.snapshot.authenticators.items():
            yield (name,), len(authenticator.cache)

    def look_ups() -> Iterator[Reading]:
        for name, authenticator in plane.snapshot.authenticators.items():
            yield (name, "hit"), authenticator.cache.hits
            yield (name, "miss"), authenticator.cache.misses

    def fetches() -> Iterator[Reading]:
        for name, keys in _remote(plane):
            for result, number in keys.fetches.items():
                yield (name, result), number

    def ages() -> Iterator[Reading]:
        for name, keys in _remote(plane):
            if keys.fetched_at is not None:
                yield (name,), plane.clock() - keys.fetched_at

    metrics.observe("gateway_token_cache_entries", entries)
    metrics.observe("gateway_token_cache_total", look_ups)
    metrics.observe("gateway_key_fetches_total", fetches)
    metrics.observe("gateway_keys_age_seconds", ages)


def _remote(plane: DataPlane) -> Iterator[tuple[str, RemoteKeys]]:
    for name, authenticator in plane.snapshot.authenticators.items():
        if isinstance(authenticator.keys, RemoteKeys):
            yield name, authenticator.keys
