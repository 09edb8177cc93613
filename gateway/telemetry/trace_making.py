"""Traces made of their settings. Loads the packages of OpenTelemetry."""

from collections import Counter
from pathlib import Path

import requests
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

from gateway import __version__
from gateway.telemetry.trace import Traces
from gateway.telemetry.trace_settings import Headers, TraceSettings


def make_traces(settings: TraceSettings, headers: Headers, directory: Path, results: Counter[str]) -> Traces:
    """Return traces that are sent as the settings say. What becomes of spans is counted in `results`."""
    session = requests.Session()
    session.trust_env = False  # as for all calls: no proxy, and no password of ~/.netrc
    exporter = OTLPSpanExporter(
        endpoint=settings.endpoint,
        certificate_file=None if settings.ca is None else str(directory / settings.ca),
        headers=dict(headers),
        timeout=settings.timeout,
        compression=Compression.Gzip,
        session=session,
    )
    return Traces(
        exporter,
        ratio=settings.ratio,
        queue=settings.queue,
        service=settings.service,
        version=__version__,
        results=results,
    )
