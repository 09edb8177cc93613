"""What is counted and logged of a request when it has ended."""

import re
import time
import traceback
from typing import Final

from gateway.model.request import InboundRequest
from gateway.proxy.relay import Relay
from gateway.telemetry.access_log import AccessEntry, AccessLog
from gateway.telemetry.decisions import DecisionRing
from gateway.telemetry.log import Log
from gateway.telemetry.metrics import Metrics

_GONE: Final = frozenset({"client_gone", "slow_reader"})
_END_OF_PATH: Final = re.compile(rb"[?#]")


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
        entry = None
        if self._access_log.is_on and self._access_log.wants(status, reason):
            entry = _entry(relay, status, reason, total, added, upstream)
            self._access_log.write(entry)
        if self._decisions.is_on and self._decisions.wants(status, reason):
            if entry is None:
                entry = _entry(relay, status, reason, total, added, upstream)
            self._decisions.add(entry.time + total, entry, relay.principal)

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


def _entry(
    relay: Relay, status: int, reason: str, total: float, added: float | None, upstream: float | None
) -> AccessEntry:
    request, principal = relay.request, relay.principal
    agents = request.all(b"user-agent")
    return AccessEntry(
        time=time.time() - total,
        request_id=relay.request_id,
        route=relay.route.id if relay.route is not None else None,
        method=request.method,
        path=shown_path(request),
        status=status,
        reason=reason,
        client=relay.snapshot.forwarding.client_address(request),
        subject=principal.subject if principal is not None else None,
        authenticator=principal.authenticator if principal is not None else None,
        token_id=principal.token_id if principal is not None else None,
        upstream=relay.route.upstream if relay.allow is not None and relay.route is not None else None,
        target=relay.target or None,
        request_bytes=relay.request_bytes,
        response_bytes=relay.answer.body_bytes,
        duration_ms=total * 1000,
        added_ms=None if added is None else added * 1000,
        upstream_ms=None if upstream is None else upstream * 1000,
        protocol=(request.upgrade or b"").decode("latin-1") if relay.tunnel is not None else f"http/{request.version}",
        user_agent=agents[0].decode("latin-1") if agents else None,
        error=str(relay.error) if relay.error is not None else None,
        trace_id=relay.trace_id,
    )


def shown_path(request: InboundRequest) -> str:
    """Return the path as it came, without what may hold secrets: the query, a fragment, an authority."""
    path = _END_OF_PATH.split(request.target, maxsplit=1)[0]
    return path.decode("latin-1") if path.startswith(b"/") else ""
