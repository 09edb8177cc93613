"""What operators are told: events with a constant name and their variables in fields, on standard error.

Secrets stay out because fields are named one by one by who logs; nothing is logged wholesale. Whatever a value
contains, one event is one line of printable ASCII: line breaks, control characters and terminal escapes are escaped
in both formats. Standard error is written to directly: events are few, and the last one before the end must not be
lost in a queue.
"""

import json
import logging
import re
import sys
import time
from typing import Annotated, Any, Literal, TextIO

from pydantic import Field

from gateway.model.settings import Settings

LogFormat = Literal["json", "text"]


class LogSettings(Settings):
    """Events for operators on standard error, and the access log on standard output."""

    format: LogFormat = "json"
    """`json`: one object a line. `text`: time, level and event, then `field=value`."""

    level: Literal["info", "warning", "error"] = "info"
    """The least important events to write: `info` is what is expected, `error` means that a person should look.

    Refused requests are not events; they are in the access log.
    """

    access: bool = True
    """Write the access log: one line a request."""

    sample: Annotated[float, Field(ge=0, le=1)] = 1.0
    """The share of requests in the access log: 1 is every one, 0.01 every hundredth.

    Refusals and 5xx are always in it.
    """


class Log:
    """Writes events. Never a token, cookie or claim other than the subject; a token is named by its `jti`."""

    def __init__(self, settings: LogSettings, stream: TextIO | None = None) -> None:
        self.handler = logging.StreamHandler(stream or sys.stderr)
        """Writes any `logging` record in the same format: give it to the loggers of libraries that should be heard."""
        self.handler.setFormatter(_Formatter(settings.format))
        # Not from getLogger(): that one would be shared by the whole process, and configured by whoever comes last.
        self._logger = logging.Logger("gateway", settings.level.upper())
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
    def __init__(self, form: LogFormat) -> None:
        super().__init__()
        self._form = form

    def format(self, record: logging.LogRecord) -> str:
        event, fields = _event_of(record)
        head = {"time": rfc3339(record.created), "level": record.levelname.lower(), "event": event}
        if self._form == "json":
            return json.dumps(head | fields | head, default=str)  # head comes first, and no field replaces it
        return " ".join([*map(quoted, head.values()), *(f"{name}={quoted(value)}" for name, value in fields.items())])


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
