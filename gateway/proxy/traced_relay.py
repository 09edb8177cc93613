"""A relay whose request is traced. It does what any relay does, and tells when."""

from time import time_ns
from typing import TYPE_CHECKING

from gateway.engine.forwarding import trace_context
from gateway.engine.gatekeeper import Decision
from gateway.engine.paths import PathPattern
from gateway.engine.routes import Route
from gateway.model.decision import Allow, Pending
from gateway.model.errors import Refusal
from gateway.model.upstream import TargetAddress
from gateway.proxy.recorder import reason_of, shown_path
from gateway.proxy.relay import Relay
from gateway.proxy.upstream import UpstreamConnection

if TYPE_CHECKING:
    from gateway.telemetry.trace import RequestTrace


class TracedRelay(Relay):
    """Made in place of a Relay while `plane.traces` is there."""

    trace: "RequestTrace | None" = None
    _decision_began = 0
    """Nanoseconds since the epoch; 0 when the decision was traced, or needs not be."""
    _verified = 0
    _decided: Allow[Route] | None = None

    def begin(self) -> None:
        request, traces = self.request, self._client.plane.traces
        assert traces is not None or self.trace is None
        if traces is not None:
            parent = state = b""
            if request.peer.is_trusted_proxy:
                parent, state = trace_context(request)
            self.trace = traces.request(request.method, parent, state)
            self.trace_id = self.trace.id
            request.forget(b"traceparent")  # ours takes its place
        super().begin()

    def _decide(self) -> None:
        if self.trace is not None and self.trace.is_recorded:
            self._verified, self._decision_began = self._verifications(), time_ns()
        super()._decide()

    def _act(self, decision: Decision) -> None:
        if self._decision_began and not isinstance(decision, Pending):
            if self.trace is not None and self._verifications() > self._verified:
                self.trace.decided(self._decision_began)
            self._decision_began = 0
        super()._act(decision)

    async def _decide_later(self, pending: Pending) -> None:
        if self.trace is None:
            await super()._decide_later(pending)
            return
        began, self._decision_began = self._decision_began, 0
        with self.trace.deciding(began):
            await super()._decide_later(pending)

    def _verifications(self) -> int:
        """Return how many tokens were not known already, so far."""
        return sum(each.cache.misses for each in self.snapshot.authenticators.values())

    def _borrow(self) -> None:
        self._ask()
        super()._borrow()

    def _borrow_again(self, failed: UpstreamConnection) -> None:
        self._ask()
        super()._borrow_again(failed)

    def _ask(self) -> None:
        if self.trace is not None and self.route is not None and not self.route.is_own:
            self.trace.asking(self.route.upstream)

    def _send(self, connection: UpstreamConnection) -> None:
        decided = self._decided = self._decided or self.allow
        if self.trace is not None and decided is not None:
            target = connection.target
            lines = self.trace.forwarded({"gateway.target": target.name, **_server(target.address)})
            self.allow = Allow(
                decided.route,
                decided.target,
                decided.principal,
                decided.identity + lines,
                is_degraded=decided.is_degraded,
            )
        super()._send(connection)

    def answer_end(self) -> None:
        if self.trace is not None:
            self.trace.answered(self.answer.status)
        super().answer_end()

    def upstream_failed(self, error: Refusal, connection: UpstreamConnection | None) -> None:
        if self.trace is not None:
            self.trace.answered(self.answer.status, error.reason)
        super().upstream_failed(error, connection)

    def _finish(self) -> None:
        super()._finish()
        trace, self.trace = self.trace, None
        if trace is None or not trace.is_recorded:
            return
        request, route = self.request, self.route
        attributes: dict[str, str | int | bool] = {
            "url.path": shown_path(request),
            "url.scheme": "https" if request.secure else "http",
            "network.protocol.version": request.version,
            "client.address": self.snapshot.forwarding.client_address(request),
            "gateway.request_id": self.request_id,
        }
        if route is not None:
            attributes["http.route"] = _template(route.path)
        agents = request.all(b"user-agent")
        if agents:
            attributes["user_agent.original"] = agents[0].decode("latin-1")
        attributes["gateway.reason"] = reason_of(self)
        error = None if self.error is None else self.error.reason
        trace.end(None if route is None else route.id, attributes, self.answer.status, error)


def _template(path: PathPattern) -> str:
    segments = ["{}" if segment is None else segment for segment in path.segments]
    return "/" + "/".join([*segments, "**"] if path.rest else segments)


def _server(address: TargetAddress) -> dict[str, str | int | bool]:
    """Return where a target is, by the names of the conventions."""
    if address.scheme == "inside":
        return {"network.transport": "pipe"}
    if address.address.path:
        return {"server.address": address.address.path, "network.transport": "unix"}
    return {"server.address": address.address.host, "server.port": address.address.port}
