"""Tells the metrics where to read what other objects count themselves."""

from collections.abc import Iterator

from gateway.proxy.plane import DataPlane
from gateway.supervise import Supervisor
from gateway.telemetry.access_log import AccessLog
from gateway.telemetry.metrics import Metrics, Reading
from gateway.tokens.remote_keys import RemoteKeys


def observe(metrics: Metrics, plane: DataPlane, supervisor: Supervisor, access_log: AccessLog) -> None:
    """Register one reader for each metric that is not counted by the metrics themselves."""
    upstreams, authenticators = _Upstreams(plane), _Authenticators(plane)
    metrics.observe("gateway_client_connections", lambda: [((), len(plane.connections))])
    metrics.observe("gateway_client_connections_accepted_total", lambda: [((), plane.connections_total)])
    metrics.observe("gateway_tunnels", lambda: [((), plane.tunnels)])
    metrics.observe("gateway_upstream_connections", upstreams.connections)
    metrics.observe("gateway_upstream_connects_total", upstreams.connects)
    metrics.observe("gateway_upstream_retries_total", upstreams.retries)
    metrics.observe("gateway_token_cache_entries", authenticators.entries)
    metrics.observe("gateway_token_cache_total", authenticators.look_ups)
    metrics.observe("gateway_key_fetches_total", authenticators.fetches)
    metrics.observe("gateway_keys_age_seconds", authenticators.ages)
    metrics.observe("gateway_background_failures_total", supervisor.failures)
    metrics.observe("gateway_access_log_dropped_total", access_log.dropped)


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
            for result, number in pool.connects.items():
                yield (name, result), number

    def retries(self) -> Iterator[Reading]:
        for name, pool in self._plane.pools.items():
            yield (name,), pool.retries


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
