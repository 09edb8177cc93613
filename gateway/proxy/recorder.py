"""What is counted and logged of a request when it has ended."""

import time
import traceback
from typing import Final

from gateway.model.request import InboundRequest
from gateway.proxy.relay import Relay
from gateway.telemetry.access_log import AccessLog, AccessValues
from gateway.telemetry.decisions import DecisionRing
from gateway.telemetry.log import Log
from gateway.telemetry.metrics import Metrics

_GONE: Final = frozenset({"client_gone", "slow_reader"})


class RequestRecorder:
    """Counts every request, logs those that the access log wants, and keeps those that operators may ask about."""

    def __init__(self, metrics: Metrics, access_log: AccessLog, log: Log, decisions: DecisionRing) -> None:
        self._elsewhere = metrics.route(None)
        self._access_log = access_log
        self._log = log
        self._decisions = decisions

    def request(self, relay: Relay, now: float) -> None:
        """Record a request that ended at `now` (monotonic time)."""
        reason = reason_of(relay)
        status = 499 if reason in _GONE else relay.answer.status
        total = now - relay.started_at
        added = relay.added or None
        upstream = relay.answer.began_at - relay.sent_at if relay.sent_at and relay.answer.began_at else None
        tally = self._elsewhere if relay.route is None else relay.route.tally
        tally.record(
            relay.request.method, status, reason, total, added, upstream, relay.request_bytes, relay.answer.body_bytes
        )
        is_logged = self._access_log.is_on and self._access_log.wants(status, reason)
        is_kept = self._decisions.is_on and self._decisions.wants(status, reason, now)
        if is_logged or is_kept:
            ended = time.time()
            values = _values(relay, status, reason, ended, total, added, upstream)
            if is_logged:
                self._access_log.write(values)
            if is_kept:
                self._decisions.add(ended, values, relay.principal)

    def cut(self, reason: str, number: int) -> None:
        """Log that connections were closed at a limit, without a request that could be recorded."""
        self._log.warning("client_cut", reason=reason, connections=number)

    def bug(self, place: str, error: BaseException | None) -> None:
        """Log an exception that is nobody's refusal."""
        lines = "" if error is None else "".join(traceback.format_exception(error))
        self._log.error("bug", place=place, traceback=lines)


def reason_of(relay: Relay) -> str:
    """Return what became of a request, in a word."""
    if relay.error is not None:
        return relay.error.reason
    if relay.allow is None:
        return "preflight"
    if relay.answer.reason is not None:
        return relay.answer.reason
    return "allow_stale" if relay.allow.is_degraded else "allow"


def _values(
    relay: Relay, status: int, reason: str, ended: float, total: float, added: float | None, upstream: float | None
) -> AccessValues:
    """Return the fields of an AccessEntry, in their order."""
    request, principal, route = relay.request, relay.principal, relay.route
    agents = request.all(b"user-agent")
    return (
        ended - total,
        relay.request_id,
        None if route is None else route.id,
        request.method,
        shown_path(request),
        status,
        reason,
        relay.snapshot.forwarding.client_address(request),
        None if principal is None else principal.subject,
        None if principal is None else principal.authenticator,
        None if principal is None else principal.token_id,
        None if relay.allow is None or route is None else route.upstream,
        relay.target or None,
        relay.request_bytes,
        relay.answer.body_bytes,
        total * 1000,
        None if added is None else added * 1000,
        None if upstream is None else upstream * 1000,
        _protocol(relay),
        agents[0].decode("latin-1") if agents else None,
        None if relay.error is None else str(relay.error),
        relay.trace_id,
    )


def _protocol(relay: Relay) -> str:
    if relay.tunnel is not None:
        return (relay.request.upgrade or b"").decode("latin-1")
    return "http/1.1" if relay.request.version == "1.1" else f"http/{relay.request.version}"


def shown_path(request: InboundRequest) -> str:
    """Return the path as it came, without what may hold secrets: the query, a fragment, an authority."""
    path = request.target.partition(b"?")[0]
    if b"#" in path:
        path = path.partition(b"#")[0]
    return path.decode("latin-1") if path.startswith(b"/") else ""
