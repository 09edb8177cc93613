"""Spans that have ended, on their way to the receiver: a thread sends them, and nobody waits for it."""

import logging
from collections import Counter, deque
from threading import Condition, Thread

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

_BATCH = 512
_LINGER = 1.0
"""Seconds that a span may wait for others."""


class SpanQueue(SpanProcessor):
    """Takes spans until it is full; beyond, they are dropped. The thread starts with the first: after any fork."""

    def __init__(
        self, exporter: SpanExporter, capacity: int, results: Counter[str], *, linger: float = _LINGER
    ) -> None:
        """`results` counts `exported`, `failed` and `dropped`."""
        _silence_library()
        self._exporter = exporter
        self._capacity = capacity
        self._linger = linger
        self._waiting: deque[ReadableSpan] = deque()
        self._news = Condition()
        self._is_closing = False
        self._thread: Thread | None = None
        self._results = results

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Nothing is to be done."""

    def on_end(self, span: ReadableSpan) -> None:
        if span.context is None or not span.context.trace_flags.sampled:
            return
        with self._news:
            if self._is_closing or len(self._waiting) >= self._capacity:
                self._results["dropped"] += 1
                return
            self._waiting.append(span)
            if self._thread is None:
                self._thread = Thread(target=self._work, name="span exporter", daemon=True)
                self._thread.start()
            elif len(self._waiting) in (1, _BATCH):
                self._news.notify()

    def shutdown(self) -> None:
        """Is `close`, by the library's name."""
        self.close()

    def close(self, patience: float = 2.0) -> None:
        """Send what waits, for so many seconds at most, and drop what is left."""
        with self._news:
            self._is_closing = True
            self._news.notify()
        if self._thread is not None:
            self._thread.join(patience)
            if self._thread.is_alive():
                self._exporter.shutdown()
        with self._news:
            self._results["dropped"] += len(self._waiting)
            self._waiting.clear()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Nobody needs to wait for it."""
        return True

    def _work(self) -> None:
        while batch := self._next():
            result = SpanExportResult.FAILURE
            try:
                result = self._exporter.export(batch)
            except Exception:
                logging.getLogger("opentelemetry").debug("export failed", exc_info=True)
            with self._news:
                self._results["exported" if result is SpanExportResult.SUCCESS else "failed"] += len(batch)
        self._exporter.shutdown()

    def _next(self) -> list[ReadableSpan]:
        """Return spans when enough are there, or the first has waited long enough; none at the end."""
        with self._news:
            while not (self._waiting or self._is_closing):
                self._news.wait()
            if not self._is_closing and len(self._waiting) < _BATCH:
                self._news.wait(self._linger)
            return [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]


def _silence_library() -> None:
    """Keep its words from standard error. That spans are lost is told by whoever reads `results`."""
    logger = logging.getLogger("opentelemetry")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
