"""Every metric of the gateway: one table, and its exposition to Prometheus.

Nothing is counted here. The data plane counts into a `RouteTally`; what other objects count themselves (caches,
pools, tasks) is read from them when Prometheus asks, through one reader for each name. A reader answers for the
parts of the present: a counter whose object was replaced by a reload starts again at zero, which `rate()` takes for
the restart it is.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from prometheus_client import ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from gateway.compiled import IS_COMPILED
from gateway.model.tally import DurationTally, RouteTally

Reading = tuple[tuple[str, ...], float]
"""The label values, in the order of the table, and the number."""

Reader = Callable[[], Iterable[Reading]]
DurationReader = Callable[[], Iterable[tuple[tuple[str, ...], DurationTally]]]
Durations = tuple[tuple[str, ...], tuple[float, ...], list[int], float]
"""Label values, bounds, counts per bucket, sum."""
Kind = Literal["counter", "gauge", "histogram"]
Merge = Literal["sum", "min", "max"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A row of the table. Label values come from closed sets: identifiers of the configuration, classes, results."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    merge: Merge = "sum"
    """What a gauge is for several workers together. Counters and histograms are summed."""


METRICS = (
    Metric("gateway_requests_total", "counter", "Requests answered, by class of status", ("route", "method", "status")),
    Metric(
        "gateway_decisions_total",
        "counter",
        "What became of requests: allow, preflight, or the reason why one was refused or failed",
        ("route", "reason"),
    ),
    Metric(
        "gateway_added_seconds",
        "histogram",
        "Time the gateway added: from the complete request head to the head written to the upstream",
        ("route",),
    ),
    Metric(
        "gateway_upstream_seconds",
        "histogram",
        "Time the upstream took: from the head written to it to its response head",
        ("route",),
    ),
    Metric(
        "gateway_request_seconds", "histogram", "From the complete request head to the end of the answer", ("route",)
    ),
    Metric(
        "gateway_request_bytes_total", "counter", "Bytes of request bodies, and of tunnels from the client", ("route",)
    ),
    Metric(
        "gateway_response_bytes_total", "counter", "Bytes of response bodies, and of tunnels to the client", ("route",)
    ),
    Metric("gateway_client_connections", "gauge", "Open connections of clients"),
    Metric("gateway_client_connections_accepted_total", "counter", "Connections accepted from clients"),
    Metric(
        "gateway_client_cut_total",
        "counter",
        "Connections closed at a limit without a request that could be refused, by reason",
        ("reason",),
    ),
    Metric("gateway_client_requests", "gauge", "Requests being answered, tunnels included", ("listener",)),
    Metric("gateway_tunnels", "gauge", "Open upgraded connections, such as WebSockets"),
    Metric(
        "gateway_upstream_connections", "gauge", "Open connections to upstreams: idle or busy", ("upstream", "state")
    ),
    Metric(
        "gateway_upstream_connects_total",
        "counter",
        "Attempts to connect to an upstream: ok, refused, timeout or failed",
        ("upstream", "result"),
    ),
    Metric(
        "gateway_upstream_retries_total",
        "counter",
        "Retries: after a stale connection, an unanswered request, or when no connection could be made",
        ("upstream", "kind"),
    ),
    Metric(
        "gateway_upstream_retries_refused_total",
        "counter",
        "Retries that did not happen because the budget was used up",
        ("upstream",),
    ),
    Metric(
        "gateway_upstream_target_healthy",
        "gauge",
        "1 for a target that is healthy and not ejected, else 0",
        ("upstream", "target"),
        merge="min",
    ),
    Metric(
        "gateway_upstream_ejections_total",
        "counter",
        "Times that a target was ejected because it failed requests",
        ("upstream", "target"),
    ),
    Metric(
        "gateway_upstream_circuit_open", "gauge", "1 while the circuit is open or half open", ("upstream",), merge="max"
    ),
    Metric(
        "gateway_upstream_health_checks_total",
        "counter",
        "Health checks: ok, status (another than expected), timeout or failed",
        ("upstream", "result"),
    ),
    Metric("gateway_token_cache_entries", "gauge", "Verified tokens remembered", ("authenticator",)),
    Metric(
        "gateway_token_cache_total",
        "counter",
        "Look-ups of tokens verified before: hit or miss",
        ("authenticator", "result"),
    ),
    Metric(
        "gateway_key_fetches_total",
        "counter",
        "Fetches of an issuer's key set: ok or failed",
        ("authenticator", "result"),
    ),
    Metric(
        "gateway_keys_age_seconds",
        "gauge",
        "Time since the key set in use was fetched",
        ("authenticator",),
        merge="max",
    ),
    Metric(
        "gateway_config_last_reload_successful",
        "gauge",
        "1 if the last (re)load of the configuration succeeded, else 0",
        merge="min",
    ),
    Metric(
        "gateway_config_last_reload_success_timestamp_seconds",
        "gauge",
        "Unix time of the last successful (re)load of the configuration",
        merge="min",
    ),
    Metric(
        "gateway_config_reloads_total",
        "counter",
        "Reloads of the configuration: ok, failed (it has mistakes) or refused (it needs a restart)",
        ("result",),
    ),
    Metric(
        "gateway_certificate_expiry_timestamp_seconds",
        "gauge",
        "Unix time at which the certificate of a listener ends",
        ("listener",),
        merge="min",
    ),
    Metric("gateway_tasks", "gauge", "Tasks of the event loop"),
    Metric(
        "gateway_background_failures_total", "counter", "Background tasks that failed and were restarted", ("task",)
    ),
    Metric(
        "gateway_access_log_dropped_total", "counter", "Lines of the access log lost because nobody took them in time"
    ),
    Metric("gateway_events_dropped_total", "counter", "Events lost because nobody took them in time"),
    Metric(
        "gateway_spans_total",
        "counter",
        "Spans of traces: exported, failed (the receiver did not take them) or dropped (too many waited)",
        ("result",),
    ),
    Metric(
        "gateway_audit_log_dropped_total", "counter", "Lines of the audit log lost: not written, or not taken in time"
    ),
    Metric(
        "gateway_exchanges_total",
        "counter",
        "Exchanges: rotated, repeated (parallel tabs), recovered (lost answers), or why one was refused",
        ("result",),
    ),
    Metric(
        "gateway_exchanges_healed_total",
        "counter",
        "Exchanges that brought back rotations which the store had lost",
    ),
    Metric("gateway_repeat_age_seconds", "histogram", "Age of a pair of tokens when it was asked for again"),
    Metric("gateway_sessions_opened_total", "counter", "Sessions opened"),
    Metric("gateway_sessions_ended_total", "counter", "Sessions ended before their time", ("reason",)),
    Metric("gateway_logins_total", "counter", "Logins: ok, or why one was refused", ("result",)),
    Metric(
        "gateway_endpoint_answers_total",
        "counter",
        "Answers of the gateway's own endpoints for sessions: ok, or why a request was refused",
        ("endpoint", "result"),
    ),
    Metric("gateway_alarms_total", "counter", "Alarms sent to the webhook: ok, failed or dropped", ("result",)),
    Metric(
        "gateway_revocation_staleness_seconds",
        "gauge",
        "Age of what is known of revocations; +Inf until the first snapshot",
        merge="max",
    ),
    Metric(
        "gateway_revocation_max_staleness_seconds",
        "gauge",
        "The smallest max_staleness of the configuration in force",
        merge="max",
    ),
    Metric("gateway_revocations", "gauge", "Revocations in force, as this process knows them", merge="max"),
    Metric(
        "gateway_revocation_resyncs_total",
        "counter",
        "Times that all revocations were read again, by the gap that was found",
        ("cause",),
    ),
    Metric(
        "gateway_revocations_restored_total",
        "counter",
        "Revocations that the store was not known to have, and got from here",
    ),
    Metric(
        "gateway_revocation_delay_seconds", "histogram", "From a revocation in the store to its effect in this process"
    ),
    Metric("gateway_store_seconds", "histogram", "Time the store took for an operation", ("operation",)),
    Metric("gateway_store_errors_total", "counter", "Operations that the store failed", ("operation",)),
    Metric("gateway_rate_limit_keys", "gauge", "Clients that are counted for rate limits"),
    Metric("gateway_rate_limit_forgotten_total", "counter", "Counts of rate limits dropped because the table was full"),
    Metric(
        "gateway_rate_limit_exchanges_total",
        "counter",
        "Exchanges of counts with the other processes: ok or failed",
        ("result",),
    ),
    Metric("gateway_workers", "gauge", "Workers: ready, unready (starting, too), draining, missing", ("state",)),
    Metric(
        "gateway_worker_ends_total",
        "counter",
        "Worker processes that ended: drained, failed (by itself), killed (by a signal), frozen (killed here)",
        ("how",),
    ),
    Metric("gateway_build_info", "gauge", "1; what runs is in the labels", ("version", "compiled"), merge="max"),
)
"""Every metric there is, besides the process metrics that each Prometheus client exports (`process_…`)."""

PROCESS_METRICS = (
    Metric("process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes."),
    Metric("process_resident_memory_bytes", "gauge", "Resident memory size in bytes."),
    Metric(
        "process_start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds.", merge="min"
    ),
    Metric("process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds."),
    Metric("process_open_fds", "gauge", "Number of open file descriptors."),
    Metric("process_max_fds", "gauge", "Maximum number of open file descriptors.", merge="min"),
)
"""What the process metrics are for several workers together."""


class Metrics:
    """The counts of one process. Belongs to the event loop's thread."""

    def __init__(self, version: str) -> None:
        self._reload_successful = False
        self._reload_success_at = 0.0
        self._reloads = {"ok": 0, "failed": 0, "refused": 0}
        self._routes: dict[str, RouteTally] = {}
        self._readers: dict[str, Reader] = {}
        self._duration_readers: dict[str, DurationReader] = {}
        self._process = ProcessCollector(registry=None)
        self._observe_own(version)

    def route(self, route_id: str | None) -> RouteTally:
        """Return the tally of a route. None stands for requests that matched no route; the label is then "-".

        Also for a thread that reads a configuration: what it asks for is shown when it has counted something.
        """
        return self._routes.setdefault(route_id or "-", RouteTally())

    def used_routes(self) -> Iterator[tuple[str, RouteTally]]:
        """Yield the routes that had requests, by the value of the label."""
        return ((id_, tally) for id_, tally in list(self._routes.items()) if tally.is_used)

    def loaded(self, at: float) -> None:
        """Note that a configuration was put into use at this Unix time."""
        self._reload_successful = True
        self._reload_success_at = at

    def reloaded(self, at: float) -> None:
        """Note that a configuration has replaced another one at this Unix time."""
        self._reloads["ok"] += 1
        self.loaded(at)

    def reload_needless(self) -> None:
        """Note that the files hold what is in force: what was wrong with them, if anything, has been taken back."""
        self._reload_successful = True

    def reload_failed(self, result: Literal["failed", "refused"] = "failed") -> None:
        """Note that a configuration was rejected, or needs a restart, and the one before it stays."""
        self._reloads[result] += 1
        self._reload_successful = False

    def observe(self, name: str, read: Reader) -> None:
        """Have a counter or gauge of the table read on every scrape.

        Raises ValueError for a name that is not in the table, and for a second reader.
        """
        if name not in {metric.name for metric in METRICS if metric.kind != "histogram"}:
            raise ValueError(f"{name} is not a counter or gauge of the table of metrics")
        if name in self._readers:
            raise ValueError(f"{name} has a reader already")
        self._readers[name] = read

    def observe_durations(self, name: str, read: DurationReader) -> None:
        """Have a histogram of the table read on every scrape. Raises ValueError like `observe`."""
        if name not in {metric.name for metric in METRICS if metric.kind == "histogram"}:
            raise ValueError(f"{name} is not a histogram of the table of metrics")
        if name in self._duration_readers:
            raise ValueError(f"{name} has a reader already")
        self._duration_readers[name] = read

    def read(self, name: str) -> list[Reading]:
        """Read the numbers of one counter or gauge; there are none of what this process does not have."""
        read = self._readers.get(name)
        return [] if read is None else list(read())

    def process_numbers(self) -> dict[str, float]:
        """Read the process metrics, by name."""
        return {sample.name: sample.value for family in self._process.collect() for sample in family.samples}

    def scrape(self) -> "Scrape":
        """Read every number. This is quick; `Scrape.render` is not, and may run in another thread."""
        return Scrape(
            readings={name: list(read()) for name, read in self._readers.items()},
            durations={
                name: [_copy(labels, tally) for labels, tally in read()]
                for name, read in self._duration_readers.items()
            },
            process=self._process,
        )

    def render(self, accept: str | None) -> tuple[bytes, str]:
        """Return the exposition and its content type, in the format that the Accept header asks for."""
        return self.scrape().render(accept)

    def _observe_own(self, version: str) -> None:
        self.observe("gateway_requests_total", self._requests)
        self.observe("gateway_decisions_total", self._decisions)
        self.observe(
            "gateway_request_bytes_total", lambda: [((id_,), t.request_bytes) for id_, t in self.used_routes()]
        )
        self.observe(
            "gateway_response_bytes_total", lambda: [((id_,), t.response_bytes) for id_, t in self.used_routes()]
        )
        self.observe_durations("gateway_added_seconds", lambda: [((id_,), t.added) for id_, t in self.used_routes()])
        self.observe_durations(
            "gateway_upstream_seconds", lambda: [((id_,), t.upstream) for id_, t in self.used_routes()]
        )
        self.observe_durations("gateway_request_seconds", lambda: [((id_,), t.total) for id_, t in self.used_routes()])
        self.observe("gateway_config_last_reload_successful", lambda: [((), self._reload_successful)])
        self.observe("gateway_config_last_reload_success_timestamp_seconds", lambda: [((), self._reload_success_at)])
        self.observe("gateway_config_reloads_total", lambda: [((name,), n) for name, n in self._reloads.items()])
        self.observe("gateway_build_info", lambda: [((version, str(IS_COMPILED).lower()), 1)])

    def _requests(self) -> Iterator[Reading]:
        for route, tally in self.used_routes():
            for method, status, number in tally.requests():
                yield (route, method, status), number

    def _decisions(self) -> Iterator[Reading]:
        for route, tally in self.used_routes():
            for reason, number in tally.decisions():
                yield (route, reason), number


def _copy(labels: tuple[str, ...], tally: DurationTally) -> Durations:
    return labels, tally.bounds, tally.counts.copy(), tally.sum


class Scrape(Collector):
    """The numbers of one moment. Nobody changes them any more."""

    def __init__(
        self,
        readings: Mapping[str, Sequence[Reading]],
        durations: Mapping[str, Sequence[Durations]],
        process: Collector | None = None,
    ) -> None:
        """Without `process`, the process metrics are among the readings."""
        self.readings = readings
        self.durations = durations
        self.process = process

    def render(self, accept: str | None) -> tuple[bytes, str]:
        """Return the exposition and its content type: about 4 µs a line, and 57 lines for a route that was used."""
        try:
            encode, content_type = choose_encoder(accept or "")
        except (TypeError, ValueError):  # the header asks for a version that is no number
            encode, content_type = choose_encoder("")
        return encode(self), content_type

    def collect(self) -> Iterator[Family]:
        """Yield the families of the table and of the process, for the encoder."""
        for metric in METRICS:
            if metric.kind == "histogram":
                yield self._histogram(metric)
            else:
                yield self._numbers(metric)
        if self.process is not None:
            yield from self.process.collect()
        else:
            yield from map(self._numbers, PROCESS_METRICS)

    def _histogram(self, metric: Metric) -> Family:
        family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        for labels, bounds, counts, total in self.durations.get(metric.name, ()):
            names = [*map(str, bounds), "+Inf"]
            family.add_metric(labels, list(zip(names, accumulate(counts), strict=True)), total)
        return family

    def _numbers(self, metric: Metric) -> Family:
        new = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
        family = new(metric.name, metric.help, labels=metric.labels)
        for values, number in self.readings.get(metric.name, ()):
            if len(values) != len(metric.labels):
                raise ValueError(f"{metric.name} has the labels {metric.labels}, not {values}")
            family.add_metric(values, number)
        return family
