"""The access log: one line for each request.

    if access_log.wants(status, reason):
        access_log.write((...))

A line is built only if it is going to be written. No part of a request is logged but the fields named here.
"""

import random
from collections.abc import Callable, Iterable
from json.encoder import encode_basestring_ascii as _string
from typing import NamedTuple

from gateway.telemetry.lines import LineWriter
from gateway.telemetry.log import quoted, rfc3339
from gateway.telemetry.log_settings import LogSettings
from gateway.telemetry.metrics import Reading

_END = "}\n"
PASSED = ("allow", "allow_stale", "preflight")
"""The reasons of requests that went on. Every other one is a refusal, or a failure."""
STANDARD_OUTPUT = 1


class AccessEntry(NamedTuple):
    """The fields of a line, in their order. What is not known is None: `null` in JSON, `-` in text."""

    time: float
    """When the request head was complete, Unix seconds; written as RFC 3339 in UTC with milliseconds."""
    request_id: str
    """What `X-Request-ID` told the upstream, and the client with refusals."""
    route: str | None
    """The route's id; None when none matched."""
    method: str
    path: str
    """As sent, but never the query: it may hold secrets."""
    status: int
    """What the client was answered; 499 when it went away before."""
    reason: str
    """`allow`, `allow_stale`, `preflight`, or the reason of the refusal or failure."""
    client: str
    """The client's address."""
    subject: str | None
    authenticator: str | None
    token_id: str | None
    """`jti`: names the token without being it."""
    upstream: str | None
    target: str | None
    """The target of the upstream that was chosen: `http://10.0.0.7:9000`, `unix:/run/app.sock`."""
    request_bytes: int
    """Bytes of the request body, or of a tunnel from the client."""
    response_bytes: int
    """Bytes of the response body, or of a tunnel to the client."""
    duration_ms: float
    """From the complete request head to the end of the answer."""
    added_ms: float | None
    """From the complete request head to the head written to the upstream."""
    upstream_ms: float | None
    """From the head written to the upstream to its response head."""
    protocol: str
    """`http/1.1`, `http/1.0`, or what the connection was upgraded to."""
    user_agent: str | None
    error: str | None
    """Why it was refused, in words; not told to the client."""
    trace_id: str | None = None
    """The trace that the request is part of; only there with `traces`."""


# fmt: off
AccessValues = tuple[
    float, str, str | None, str, str, int, str, str, str | None, str | None, str | None, str | None,
    str | None, int, int, float, float | None, float | None, str, str | None, str | None, str | None,
]
# fmt: on
"""The fields of an AccessEntry: a plain tuple is made in a fraction of the time."""


class AccessLog:
    """Samples, formats and hands lines to a writer that never makes the event loop wait."""

    def __init__(
        self, settings: LogSettings, writer: LineWriter | None = None, chance: Callable[[], float] = random.random
    ) -> None:
        self._chance = chance
        self.adapt(settings)
        self._writer = writer or LineWriter(STANDARD_OUTPUT)
        self.flush = self._writer.flush
        self.keep_flushing = self._writer.keep_flushing
        self.close = self._writer.close

    def adapt(self, settings: LogSettings) -> None:
        """Go by other settings from now on."""
        self.is_on = settings.access
        self._sample = settings.sample
        self._format = _Json().line if settings.format == "json" else _text_line

    def wants(self, status: int, reason: str) -> bool:
        """Say whether a request is to be logged: a sample of those that went well, and all others."""
        if not self.is_on:
            return False
        return self._sample >= 1 or status >= 500 or reason not in PASSED or self._chance() < self._sample

    def write(self, values: AccessValues) -> None:
        """Log one request, of which these are the fields of an AccessEntry."""
        self._writer.write(self._format(values))

    def dropped(self) -> Iterable[Reading]:
        """Read `gateway_access_log_dropped_total`."""
        return [((), self._writer.dropped)]


class _Json:
    """Formats entries as JSON. Written out by hand: `json.dumps` of a dictionary costs three times as much."""

    def __init__(self) -> None:
        self._second = -1
        self._date = ""

    def line(self, values: AccessValues) -> str:
        # fmt: off
        (
            at, request_id, route, method, path, status, reason, client, subject, authenticator, token_id, upstream,
            target, request_bytes, response_bytes, duration_ms, added_ms, upstream_ms, protocol, user_agent, error,
            trace_id,
        ) = values
        # fmt: on
        second = int(at)
        if second != self._second:
            self._second = second
            self._date = rfc3339(second)[:-4]
        return (
            f'{{"time":"{self._date}{int((at - second) * 1000):03d}Z",'
            f'"request_id":{_string(request_id)},'
            f'"route":{"null" if route is None else _string(route)},'
            f'"method":{_string(method)},'
            f'"path":{_string(path)},'
            f'"status":{status},'
            f'"reason":"{reason}",'
            f'"client":{_string(client)},'
            f'"subject":{"null" if subject is None else _string(subject)},'
            f'"authenticator":{"null" if authenticator is None else _string(authenticator)},'
            f'"token_id":{"null" if token_id is None else _string(token_id)},'
            f'"upstream":{"null" if upstream is None else _string(upstream)},'
            f'"target":{"null" if target is None else _string(target)},'
            f'"request_bytes":{request_bytes},'
            f'"response_bytes":{response_bytes},'
            f'"duration_ms":{duration_ms:.3f},'
            f'"added_ms":{"null" if added_ms is None else f"{added_ms:.3f}"},'
            f'"upstream_ms":{"null" if upstream_ms is None else f"{upstream_ms:.3f}"},'
            f'"protocol":"{protocol}",'
            f'"user_agent":{"null" if user_agent is None else _string(user_agent)},'
            f'"error":{"null" if error is None else _string(error)}'
            f"{_END if trace_id is None else _traced_end(trace_id)}"
        )


def _traced_end(trace_id: str) -> str:
    return f',"trace_id":"{trace_id}"{_END}'


def _text_line(values: AccessValues) -> str:
    entry = AccessEntry(*values)
    known = -1 if entry.trace_id is None else None
    fields = zip(entry._fields[1:known], entry[1:known], strict=True)
    shown = (f"{name}={quoted(f'{value:.3f}' if isinstance(value, float) else value)}" for name, value in fields)
    return f"{rfc3339(entry.time)} {' '.join(shown)}\n"
