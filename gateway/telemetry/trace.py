"""Traces: what a request was, and what took time of it, as spans of OpenTelemetry.

Names and attributes are those of its HTTP conventions. A span never holds a token, a cookie, a query or a claim; who
called is in the access log, which has the id of the trace. Loaded only where traces are wanted.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from random import getrandbits, random
from typing import Final, TypeVar

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from gateway.telemetry.trace_queue import SpanQueue

T = TypeVar("T")

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"})
"""Whatever else a client calls a method must not become the name of a span."""
_CURRENT: ContextVar[Span | None] = ContextVar("span", default=None)
"""What the work of this task is part of."""

Attributes = Mapping[str, str | int | bool]


class Traces:
    """Makes spans, and has them sent. One per process and setting."""

    def __init__(
        self, exporter: SpanExporter, *, ratio: float, queue: int, service: str, version: str, results: Counter[str]
    ) -> None:
        """What becomes of spans is counted in `results`."""
        self._queue = SpanQueue(exporter, queue, results)
        self._ratio = ratio
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,  # what is not to be recorded never gets there: that is too slow for all that pass
            resource=Resource.create({"service.name": service, "service.version": version}),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(self._queue)
        self._tracer = self._provider.get_tracer("gateway", version)

    def close(self, patience: float = 2.0) -> None:
        """Send what waits, for so many seconds at most."""
        self._queue.close(patience)

    def request(self, method: str, parent: bytes, state: bytes) -> "RequestTrace":
        """Begin the span of a request. `parent` is a `traceparent` that is believed, `state` its `tracestate`.

        What the parent says of recording holds; where there is none, the ratio does.
        """
        known = method if method in _METHODS else "_OTHER"
        outer = _parent_span(parent, state) if parent else None
        is_chosen = random() < self._ratio  # noqa: S311 - a sample is no secret
        is_recorded = is_chosen if outer is None else outer.get_span_context().trace_flags.sampled
        if not is_recorded:
            return RequestTrace(self, _unrecorded(outer), known)
        context = Context() if outer is None else set_span_in_context(outer, Context())
        span = self._tracer.start_span(known, context=context, kind=SpanKind.SERVER)
        if not span.get_span_context().is_valid:  # OTEL_SDK_DISABLED
            span = _unrecorded(outer)
        return RequestTrace(self, span, known)

    def child(self, name: str, parent: Span, kind: SpanKind = SpanKind.INTERNAL, started_at: int | None = None) -> Span:
        """Begin a span within another one. Times are nanoseconds since the epoch."""
        return self._tracer.start_span(name, set_span_in_context(parent, Context()), kind, start_time=started_at)

    async def stored(self, operation: str, work: Awaitable[T]) -> T:
        """Wait for an operation of the store: a span, where a request is traced that waits for it."""
        parent = _CURRENT.get()
        if parent is None or not parent.is_recording():
            return await work
        with self._within(self.child(f"store {operation}", parent, SpanKind.CLIENT)) as span:
            span.set_attribute("db.operation.name", operation)
            return await work

    async def endpoint(
        self, name: str, parent: str | None, state: str | None, work: Awaitable[T], status_of: Callable[[T], int]
    ) -> T:
        """Wait for an answer of the gateway's own endpoint: a span, where the request was traced on its way there."""
        outer = _parent_span((parent or "").encode("latin-1", "replace"), (state or "").encode("latin-1", "replace"))
        if outer is None or not outer.get_span_context().trace_flags.sampled:
            return await work
        with self._within(self.child(_ENDPOINT_NAMES.get(name, name), outer)) as span:
            answer = await work
            span.set_attributes({"gateway.endpoint": name, "http.response.status_code": status_of(answer)})
            return answer

    @contextmanager
    def _within(self, span: Span) -> Iterator[Span]:
        """Let what is done meanwhile be part of a span, which ends with it."""
        token = _CURRENT.set(span)
        try:
            yield span
        except Exception as error:
            fail(span, getattr(error, "reason", type(error).__name__))
            raise
        finally:
            _CURRENT.reset(token)
            span.end()


_NO_FLAGS: Final = TraceFlags()
_NO_STATE: Final = TraceState()
_ENDPOINT_NAMES: Final = {"token": "exchange", "refresh": "exchange"}


class RequestTrace:
    """The spans of one request: its own, that of the decision, and one for each time an upstream was asked."""

    def __init__(self, traces: Traces, span: Span, method: str) -> None:
        self._traces = traces
        self._span = span
        self._method = method
        self._upstream: Span | None = None
        self._resends = -1
        self.is_recorded = span.is_recording()
        self.id = f"{span.get_span_context().trace_id:032x}"

    def decided(self, began_at: int) -> None:
        """Note that the decision, begun at `began_at` (nanoseconds since the epoch), took work."""
        self._traces.child("decide", self._span, started_at=began_at).end()

    @contextmanager
    def deciding(self, began_at: int) -> Iterator[None]:
        """Trace a decision that waits, and what it waits for."""
        if not self.is_recorded:
            yield
            return
        with self._traces._within(self._traces.child("decide", self._span, started_at=began_at)) as span:
            span.set_attribute("gateway.waited", True)
            yield

    def asking(self, upstream: str) -> None:
        """Begin the span of asking an upstream: also the wait for a connection is part of it."""
        if not self.is_recorded:
            return
        self._resends += 1
        self._upstream = self._traces.child(f"{self._method} {upstream}", self._span, SpanKind.CLIENT)
        self._upstream.set_attributes({"http.request.method": self._method, "gateway.upstream": upstream})
        if self._resends:
            self._upstream.set_attribute("http.request.resend_count", self._resends)

    def forwarded(self, attributes: Attributes) -> bytes:
        """Note where the request goes; return the header lines that tell the upstream what it is part of."""
        if self._upstream is not None:
            self._upstream.set_attributes(attributes)
        return _lines((self._upstream or self._span).get_span_context())

    def answered(self, status: int, error: str | None = None) -> None:
        """Note the end of an upstream's answer, or why there is none."""
        if self._upstream is None:
            return
        if status:
            self._upstream.set_attribute("http.response.status_code", status)
        self._end_upstream(error or (str(status) if status >= 400 else None))

    def _end_upstream(self, error: str | None) -> None:
        span, self._upstream = self._upstream, None
        if span is not None:
            if error is not None:
                fail(span, error)
            span.end()

    def end(self, route: str | None, attributes: Attributes, status: int, error: str | None) -> None:
        """End the request's span. `status` is what the client was answered, 0 for nothing."""
        self._end_upstream(error)
        span = self._span
        if route is not None:
            span.update_name(f"{self._method} {route}")
            span.set_attribute("gateway.route", route)
        span.set_attributes({"http.request.method": self._method, **attributes})
        if status:
            span.set_attribute("http.response.status_code", status)
        if status >= 500:
            fail(span, error or str(status))
        span.end()


def fail(span: Span, reason: str) -> None:
    """Mark a span as failed. The reason is a word of a closed set, never a message."""
    span.set_attribute("error.type", reason)
    span.set_status(StatusCode.ERROR)


def _unrecorded(outer: Span | None) -> Span:
    """Return a span that is only a name for others to refer to."""
    around = None if outer is None else outer.get_span_context()
    trace_id = getrandbits(128) or 1 if around is None else around.trace_id
    state = _NO_STATE if around is None else around.trace_state
    span_id = getrandbits(64) or 1
    return NonRecordingSpan(SpanContext(trace_id, span_id, is_remote=False, trace_flags=_NO_FLAGS, trace_state=state))


def _parent_span(parent: bytes, state: bytes) -> Span | None:
    """Return the span that a well-formed `traceparent` names (W3C Trace Context §3.2)."""
    try:
        _, trace_id, span_id, flags = (int(part, 16) for part in parent.split(b"-")[:4])
    except ValueError:
        return None
    context = SpanContext(
        trace_id,
        span_id,
        is_remote=True,
        trace_flags=TraceFlags(flags & TraceFlags.SAMPLED),
        trace_state=TraceState.from_header([state.decode("latin-1")]) if state else TraceState(),
    )
    return NonRecordingSpan(context) if context.is_valid else None


def _lines(context: SpanContext) -> bytes:
    lines = f"traceparent: 00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & 1:02x}\r\n"
    if context.trace_state:
        lines += f"tracestate: {context.trace_state.to_header()}\r\n"
    return lines.encode("latin-1")
