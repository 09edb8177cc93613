"""The settings of traces."""

from importlib.util import find_spec
from typing import Annotated

from pydantic import Field

from gateway.model.settings import FilePath, Seconds, Settings

Headers = tuple[tuple[str, str], ...]

MISSING = "needs the packages of OpenTelemetry: install bearergate[otel]"


class TraceSettings(Settings):
    """Traces for OpenTelemetry: a span for each request, and for the parts of it that take time."""

    endpoint: Annotated[str, Field(pattern=r"^https?://[!-~]+$")]
    """Where spans are sent, by OTLP over HTTP: `http://collector:4318/v1/traces`."""
    ratio: Annotated[float, Field(ge=0, le=1)] = 1.0
    """The share of traces that are recorded, of those that begin here: 1 is every one, 0.01 every hundredth. What a
    trusted proxy has decided holds."""
    headers_file: FilePath | None = None
    """A file with headers for the receiver, such as a key: a line `Name: value` for each."""
    ca: FilePath | None = None
    """Certificate authorities to trust instead of the usual ones, in PEM."""
    timeout: Annotated[Seconds, Field(gt=0)] = 10
    """How long the receiver may take for one batch."""
    queue: Annotated[int, Field(ge=1)] = 4096
    """Spans that may wait to be sent; beyond, they are dropped and counted."""
    service: Annotated[str, Field(min_length=1)] = "gateway"
    """The `service.name` of the spans."""


def is_possible() -> bool:
    """Say whether the packages are installed that traces need."""
    try:
        return find_spec("opentelemetry.exporter.otlp.proto.http") is not None and find_spec("requests") is not None
    except ModuleNotFoundError:
        return False


def read_headers(content: bytes) -> Headers:
    """Return the headers of a headers file. Raises ValueError, which shows nothing of it."""
    headers: list[tuple[str, str]] = []
    for number, line in enumerate(content.decode("ascii", "replace").splitlines(), 1):
        name, colon, value = (part.strip() for part in line.partition(":"))
        if not line.strip():
            continue
        if not (colon and name and value and line.isascii() and line.isprintable()) or "\ufffd" in line:
            raise ValueError(f'line {number} is not "Name: value"')
        headers.append((name, value))
    return tuple(headers)
