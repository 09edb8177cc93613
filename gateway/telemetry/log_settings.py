"""The settings of logs. Apart from `log`, which is light enough for a process that reads no configuration."""

from typing import Annotated, Literal

from pydantic import Field

from gateway.model.settings import FilePath, Settings

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

    audit: Literal["stderr"] | FilePath | None = None
    """Where the audit log goes: a file, which only its owner can read if it is made, or `stderr`. Without it there is
    none: it names people and their addresses, so somebody must want it."""
