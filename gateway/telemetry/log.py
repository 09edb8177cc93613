"""What operators are told: events with a constant name and their variables in fields, on standard error.

Secrets stay out because fields are named one by one by who logs; nothing is logged wholesale. Whatever a value
contains, one event is one line of printable ASCII: line breaks, control characters and terminal escapes are escaped
in both formats.
"""

import json
import logging
import re
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any, Protocol, TextIO

from gateway.telemetry.lines import LineWriter
from gateway.telemetry.metrics import Reading

STANDARD_ERROR = 2


class Style(Protocol):
    """What an event looks like, and which ones there are. `LogSettings` is one."""

    @property
    def format(self) -> str: ...

    @property
    def level(self) -> str: ...


class Log:
    """Writes events. Never a token, cookie or claim other than the subject; a token is named by its `jti`."""

    def __init__(
        self, style: Style, stream: TextIO | None = None, *, worker: int | None = None, is_shared: bool = False
    ) -> None:
        """`worker` is the number of this process among several, and then is in every event. `is_shared`: other
        processes write to the same standard error."""
        self.handler: logging.StreamHandler[Any] = logging.StreamHandler(stream or sys.stderr)
        """Writes any `logging` record in the same format: give it to the loggers of libraries that should be heard."""
        self._bound = {} if worker is None else {"worker": worker}
        self.adapt(style)
        self._writer: LineWriter | None = None
        self._is_shared = is_shared

    def write_in_thread(self) -> None:
        """From now on have a thread write to standard error: a reader who is stuck must not stop the event loop."""
        self._writer = LineWriter(STANDARD_ERROR, is_shared=self._is_shared)
        self.handler.setStream(self._writer)

    def close(self) -> None:
        """Wait a little until everything is written, and write directly from now on."""
        if self._writer is not None:
            self.handler.setStream(sys.stderr)
            self._writer.close()

    def dropped(self) -> Iterable[Reading]:
        """Read `gateway_events_dropped_total`."""
        return [((), 0 if self._writer is None else self._writer.dropped)]

    def adapt(self, style: Style) -> None:
        """Write in another style from now on."""
        self.handler.setFormatter(_Formatter(style.format, self._bound))
        # Not from getLogger(): that one would be shared by the whole process, and configured by whoever comes last. And
        # a new one each time: a logger remembers for which levels it is enabled.
        self._logger = logging.Logger("gateway", style.level.upper())
        self._logger.addHandler(self.handler)

    def info(self, event: str, /, **fields: Any) -> None:
        """Note what is expected: a start, fresh keys, an end."""
        self._logger.info(event, extra={"fields": fields})

    def warning(self, event: str, /, **fields: Any) -> None:
        """Note what may become trouble, or an attack that was repelled."""
        self._logger.warning(event, extra={"fields": fields})

    def error(self, event: str, /, **fields: Any) -> None:
        """Note what a person should look at."""
        self._logger.error(event, extra={"fields": fields})


class _Formatter(logging.Formatter):
    def __init__(self, form: str, bound: Mapping[str, Any]) -> None:
        super().__init__()
        self._form = form
        self._bound = dict(bound)

    def format(self, record: logging.LogRecord) -> str:
        event, fields = _event_of(record)
        head = {"time": rfc3339(record.created), "level": record.levelname.lower(), "event": event}
        if self._form == "json":
            head |= self._bound
            return json.dumps(head | fields | head, default=str)  # head comes first, and no field replaces it
        named = self._bound | fields | self._bound
        return " ".join([*map(quoted, head.values()), *(f"{name}={quoted(value)}" for name, value in named.items())])


def _event_of(record: logging.LogRecord) -> tuple[str, dict[str, Any]]:
    """Return event name and fields. A record that did not come from `Log` is a library's, and its text is a field."""
    fields = getattr(record, "fields", None)
    if fields is not None:
        return record.msg, fields
    # A traceback shows source lines and messages, not the values of variables.
    foreign: dict[str, Any] = {"logger": record.name, "message": record.getMessage()}
    if record.exc_info:
        foreign["traceback"] = logging.Formatter().formatException(record.exc_info)
    return "library_message", foreign


_BARE = re.compile(r"[A-Za-z0-9_.:/@%+,;~*()\[\]-]+")


def quoted(value: object) -> str:
    """Return a value for the text format: bare where nothing in it could be mistaken, else as a JSON string in
    ASCII. The items of a list have commas between."""
    if value is None:
        return "-"
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if _BARE.fullmatch(text) and text != "-" else json.dumps(text)


def rfc3339(seconds: float) -> str:
    """Return Unix seconds as UTC with milliseconds: 2026-01-31T12:00:00.250Z. RFC 3339 §5.6."""
    whole, milliseconds = divmod(int(seconds * 1000), 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{milliseconds:03d}Z"
