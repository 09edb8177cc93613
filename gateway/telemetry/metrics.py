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

from gateway.telemetry.tally import BUCKETS, DurationTally, RouteTally

Reading = tuple[tuple[str, ...], float]
"""The label values, in the order of the table, and the number."""

Reader = Callable[[], Iterable[Reading]]
Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A row of the table. Label values come from closed sets: identifiers of the configuration, classes, results."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


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
    Metric("gateway_upstream_retries_total", "counter", "Requests sent again on a fresh connection", ("upstream",)),
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
    Metric("gateway_keys_age_seconds", "gauge", "Time since the key set in use was fetched", ("authenticator",)),
    Metric(
        "gateway_config_last_reload_successful",
        "gauge",
        "1 if the last (re)load of the configuration succeeded, else 0",
    ),
    Metric(
        "gateway_config_last_reload_success_timestamp_seconds",
        "gauge",
        "Unix time of the last successful (re)load of the configuration",
    ),
    Metric(
        "gateway_background_failures_total", "counter", "Background tasks that failed and were restarted", ("task",)
    ),
    Metric(
        "gateway_access_log_dropped_total", "counter", "Lines of the access log lost because nobody took them in time"
    ),
    Metric("gateway_build_info", "gauge", "1; the version is in the label", ("version",)),
)
"""Every metric there is, besides the process metrics that each Prometheus client exports (`process_…`)."""


class Metrics:
    """The counts of one process. Belongs to the event loop's thread."""

    def __init__(self, version: str) -> None:
        self._reload_successful = False
        self._reload_success_at = 0.0
        self._routes: dict[str, RouteTally] = {}
        self._readers: dict[str, Reader] = {}
        self._process = ProcessCollector(registry=None)
        self._observe_own(version)

    def route(self, route_id: str | None) -> RouteTally:
        """Return the tally of a route. None stands for requests that matched no route; the label is then "-"."""
        name = route_id or "-"
        tally = self._routes.get(name)
        if tally is None:
            tally = self._routes[name] = RouteTally()
        return tally

    def reloaded(self, at: float) -> None:
        """Note that a configuration was put into use at this Unix time."""
        self._reload_successful = True
        self._reload_success_at = at

    def reload_failed(self) -> None:
        """Note that a configuration was rejected and the one before it stays."""
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

    def scrape(self) -> "Scrape":
        """Read every number. This is quick; `Scrape.render` is not, and may run in another thread."""
        return Scrape(
            readings={name: list(read()) for name, read in self._readers.items()},
            durations={
                "gateway_added_seconds": [(id_, *_copy(tally.added)) for id_, tally in self._routes.items()],
                "gateway_upstream_seconds": [(id_, *_copy(tally.upstream)) for id_, tally in self._routes.items()],
                "gateway_request_seconds": [(id_, *_copy(tally.total)) for id_, tally in self._routes.items()],
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
            "gateway_request_bytes_total", lambda: [((id_,), t.request_bytes) for id_, t in self._routes.items()]
        )
        self.observe(
            "gateway_response_bytes_total", lambda: [((id_,), t.response_bytes) for id_, t in self._routes.items()]
        )
        self.observe("gateway_config_last_reload_successful", lambda: [((), self._reload_successful)])
        self.observe("gateway_config_last_reload_success_timestamp_seconds", lambda: [((), self._reload_success_at)])
        self.observe("gateway_build_info", lambda: [((version,), 1)])

    def _requests(self) -> Iterator[Reading]:
        for route, tally in self._routes.items():
            for method, status, number in tally.requests():
                yield (route, method, status), number

    def _decisions(self) -> Iterator[Reading]:
        for route, tally in self._routes.items():
            for reason, number in tally.decisions.items():
                yield (route, reason), number


def _copy(tally: DurationTally) -> tuple[list[int], float]:
    return tally.counts.copy(), tally.sum


class Scrape(Collector):
    """The numbers of one moment. Nobody changes them any more."""

    def __init__(
        self,
        readings: Mapping[str, Sequence[Reading]],
        durations: Mapping[str, Sequence[tuple[str, list[int], float]]],
        process: Collector,
    ) -> None:
        self._readings = readings
        self._durations = durations
        self._process = process

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
        yield from self._process.collect()

    def _histogram(self, metric: Metric) -> Family:
        family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        bounds = [*map(str, BUCKETS), "+Inf"]
        for route, counts, total in self._durations[metric.name]:
            family.add_metric((route,), list(zip(bounds, accumulate(counts), strict=True)), total)
        return family

    def _numbers(self, metric: Metric) -> Family:
        new = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
        family = new(metric.name, metric.help, labels=metric.labels)
        for values, number in self._readings.get(metric.name, ()):
            if len(values) != len(metric.labels):
                raise ValueError(f"{metric.name} has the labels {metric.labels}, not {values}")
            family.add_metric(values, number)
        return family
