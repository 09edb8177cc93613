"""One request on its way: from its head to the last byte of its answer, with backpressure both ways.

A Relay belongs to a ClientConnection, which feeds it the request, and borrows an UpstreamConnection, which feeds it the
answer. It ends exactly once, in `_finish`, whatever happens: answered, refused, tunnelled, given up by either side.
"""

import asyncio
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Final, assert_never

from gateway.config.schema import HeaderNames
from gateway.config.snapshot import Snapshot
from gateway.engine.gatekeeper import Decision
from gateway.engine.routes import Route
from gateway.model.decision import Allow, Answer, Deny, Pending
from gateway.model.errors import (
    ClientGone,
    ExpiredToken,
    InternalError,
    OversizedBody,
    Refusal,
    UpstreamClosed,
)
from gateway.model.faces import face
from gateway.model.principal import Principal
from gateway.model.request import Header, InboundRequest
from gateway.proxy.answer_heads import AnswerHead
from gateway.proxy.answer_writer import LAST_CHUNK, AnswerWriter
from gateway.proxy.heads import Framing, expects_continue, granted_upgrade, request_head, status_line
from gateway.proxy.issued import issued_headers
from gateway.proxy.pace import Pace
from gateway.proxy.pool import UpstreamPool
from gateway.proxy.tunnel import Tunnel
from gateway.proxy.upstream import UpstreamConnection
from gateway.telemetry.audit_asker import ASKER, Asker

if TYPE_CHECKING:
    from gateway.proxy.client import ClientConnection

DISCARDED_BYTES: Final = 64 * 1024
"""How much of a refused request's body is read and thrown away to keep the connection."""
_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""RFC 9110 §9.2.2."""
_MANY: Final = 64
"""Pieces of a body that may wait by themselves: each takes more memory than its bytes."""


class Relay:
    """One request. Times are monotonic, 0 for what has not happened; sizes are body bytes."""

    snapshot: Snapshot
    route: Route | None = None
    allow: Allow[Route] | None = None
    principal: Principal | None = None
    tunnel: Tunnel | None = None
    request_id = ""
    trace_id: str | None = None
    target = ""
    request_bytes = 0
    started_at = 0.0
    sent_at = 0.0
    added = 0.0
    first_byte_timeout = inf
    idle_timeout = inf
    deadline = inf
    """When the token of an answer without announced length ends it."""
    began = False
    upgrade: bytes | None = None
    """The protocol that the request asks for and the route allows."""

    _body_sent = False
    _gathers = False
    _pace: Pace | None = None
    _is_waiting = False
    _retried = False
    _ended = False
    _pool: UpstreamPool | None = None
    _upstream: UpstreamConnection | None = None
    _decision_task: asyncio.Task[None] | None = None

    def __init__(
        self,
        client: "ClientConnection",
        request: InboundRequest,
        framing: Framing,
        length: int,
        *,
        keeps_alive: bool,
        error: Refusal | None = None,
    ) -> None:
        """`length` is the announced length of the body. With an `error`, the request is refused when its turn comes."""
        self._client = client
        self.request = request
        self.framing = framing
        self.length = length
        self.keeps_alive = keeps_alive
        self.error = error
        self.is_head = request.method == "HEAD"
        self.request_complete = framing == "none" and error is None
        self.answer: Final = AnswerWriter(client, request)
        self._chunks: list[bytes] = []

    # --- the beginning: decide, then refuse or forward

    def begin(self) -> None:
        """Decide and act. Called when all earlier requests of the connection are answered."""
        self.began = True
        client = self._client
        client.door.requests += 1
        self.started_at = monotonic()
        snapshot = self.snapshot = client.plane.snapshot
        self.request_id = snapshot.forwarding.request_id(self.request, client.plane.fresh_request_id())
        if self.error is not None:
            self.refuse(self.error)
        else:
            self._guarded(self._decide)

    def _decide(self) -> None:
        if self._client.door.is_bounded:
            self._client.door.check()
        self._act(self.snapshot.gatekeeper.decide(self.request))

    def _guarded(self, step: Callable[[], None]) -> None:
        """Anything that is not a refusal is a bug, and refuses."""
        try:
            step()
        except Refusal as refusal:
            self.refuse(refusal)
        except Exception as error:  # noqa: BLE001 - fail closed
            self._client.plane.report_bug("relay", error)
            self.refuse(InternalError(type(error).__name__))

    def _act(self, decision: Decision) -> None:
        if isinstance(decision, Allow):
            self._forward(decision)
        elif isinstance(decision, Deny):
            self.route, self.principal = decision.route, decision.principal
            self.refuse(decision.error)
        elif isinstance(decision, Answer):
            self.route = decision.route
            self._answer_ourselves(decision.status, decision.headers, b"")
        elif isinstance(decision, Pending):
            self._client.hold("deciding")
            self._decision_task = self._client.plane.loop.create_task(self._decide_later(decision))
        else:
            assert_never(decision)

    async def _decide_later(self, pending: Pending) -> None:
        ASKER.set(Asker(self.request_id))
        try:
            decision = await self.snapshot.gatekeeper.settle(self.request, pending)
        except Exception as error:  # noqa: BLE001 - fail closed
            self._client.plane.report_bug("decision", error)
            decision = Deny(None, InternalError(type(error).__name__))
        self._decision_task = None
        self._client.release("deciding")
        self._guarded(lambda: self._act(decision))

    def _forward(self, allow: Allow[Route]) -> None:
        route = allow.route
        self.allow, self.route, self.principal = allow, route, allow.principal
        size = max(self.length, self.request_bytes)
        if route.body_bytes is not None and size > route.body_bytes:
            raise OversizedBody(f"{size} bytes; {route.body_bytes} are allowed")
        self.first_byte_timeout, self.idle_timeout = route.first_byte_timeout, route.idle_timeout
        if route.upgrades:
            self.upgrade = granted_upgrade(self.request, self.framing, route)
        self._pool = self._client.plane.pool(self.snapshot.upstreams[route.upstream])
        if route.is_own and not self.request_complete:
            self._gather()
        else:
            self._borrow()

    def _gather(self) -> None:
        """Wait for the whole body: the gateway's own routes are open to strangers, who must not hold connections."""
        self._gathers = True
        if expects_continue(self.request):
            self._client.send(status_line(100) + b"\r\n")
            self._client.flush()

    def _borrow(self) -> None:
        assert self._pool is not None
        connection = self._pool.take(self)
        self._is_waiting = connection is None
        if connection is not None:
            self._send(connection)
        elif not self.request_complete:
            self._client.hold("connecting")

    def _borrow_again(self, failed: UpstreamConnection) -> None:
        self._retried = self._is_waiting = True
        failed.pool.take_again(self, failed)

    def upstream_ready(self, connection: UpstreamConnection) -> None:
        """A connection was lent: send what there is of the request."""
        self._is_waiting = False
        if self._ended:
            connection.abort()
            return
        self._guarded(lambda: self._send(connection))
        self._client.release("connecting")

    def _send(self, connection: UpstreamConnection) -> None:
        assert self.allow is not None
        self._upstream = connection
        target, spec = connection.target, connection.pool.spec
        self.target = target.name
        head = request_head(
            self.request, self.framing, self.upgrade, self.allow, self.snapshot, spec, target.authority, self.request_id
        )
        self.sent_at = monotonic()
        self.added = self.added or self.sent_at - self.started_at
        chunks, self._chunks = self._chunks, []
        if chunks:
            self._body_sent = True
        if self.request_complete and self.framing == "chunked":
            chunks.append(LAST_CHUNK)
        connection.write(b"".join((head, *chunks)) if chunks else head)
        if self.request_complete:
            connection.request_sent()

    # --- the request's body, from the client

    def body(self, data: bytes) -> None:
        """A piece of the request's body."""
        self.request_bytes += len(data)
        if self._ended:
            return
        if self.route is not None and self.route.body_bytes is not None and self.request_bytes > self.route.body_bytes:
            self.refuse(OversizedBody(f"more than {self.route.body_bytes} bytes"))
            return
        piece = b"%x\r\n%b\r\n" % (len(data), data) if self.framing == "chunked" else data
        self._chunks.append(piece)
        if self._is_waiting:
            self._client.hold("connecting")

    def body_pauses(self) -> None:
        """What has arrived goes on together: chunks may be tiny."""
        chunks = self._chunks
        if chunks and (self._upstream is not None or len(chunks) > _MANY):
            self._chunks = []
            piece = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            if self._upstream is not None:
                self._body_sent = True
                self._upstream.write(piece)
            else:
                self._chunks.append(piece)

    def body_end(self) -> None:
        """The request is complete."""
        self.request_complete = True
        if self._upstream is not None:
            if self.framing == "chunked":
                self._chunks.append(LAST_CHUNK)
            self.body_pauses()
            self._upstream.request_sent()
        elif self._gathers and not self._ended:
            self._guarded(self._borrow)

    def is_fast_enough(self, now: float, rate: int, patience: float, *, counts: bool) -> bool:
        """Say whether the body arrives as fast as it must. Asked now and then while it is incomplete."""
        if self._pace is None:
            self._pace = Pace(self.started_at or now, 0)
        return self._pace.look(self.request_bytes, now, rate, counts=counts) <= patience

    @property
    def slow_since(self) -> float:
        """Since when the body has been too slow, on the whole (monotonic time), or `inf`."""
        return self._pace.slow_since if self._pace is not None and self._pace.behind else inf

    def fail(self, error: Refusal) -> None:
        """The request will never be complete: it is malformed, or too slow."""
        self.keeps_alive = False
        if self.began:
            self.refuse(error)
        else:
            self.error = error

    # --- the answer, from the upstream

    def answer_head(self, status: int, version: str, headers: list[Header]) -> AnswerHead:
        """The head of the answer. Without announced length, it ends with the token at the latest."""
        keeps_alive = self.keeps_alive and self.request_complete and not self._client.plane.is_draining
        answer = self.answer
        head = answer.head(status, version, headers, self.route, self._issued, keeps_alive=keeps_alive)
        if answer.is_endless:
            self._outlive_reload()
            if self.principal is not None:
                self.deadline = self._token_ends_at()
                self._client.plane.deadlines.watch(self)
        return head

    @property
    def _issued(self) -> HeaderNames | None:
        """The names of the headers that tell of new tokens, if some were made on the way."""
        return None if self.request.issued is None else self.snapshot.config.headers

    def answer_flush(self) -> None:
        self._client.flush()

    def answer_end(self) -> None:
        """The answer is complete; the upstream connection is no longer ours."""
        self._upstream = None
        if self._ended:
            return
        self.answer.end()
        self._end(closes=self.answer.closes)

    def upstream_failed(self, error: Refusal, connection: UpstreamConnection | None) -> None:
        """The upstream cannot be reached, fell silent, closed or talked nonsense."""
        self._upstream = None
        self._is_waiting = False
        if self._ended:
            return
        if connection is not None and self._may_retry(error, connection):
            failed = connection
            self._guarded(lambda: self._borrow_again(failed))
            return
        if connection is not None:
            connection.pool.not_replaced(connection, self, error)
        if self.answer.status:
            self.error = error
            self._end_broken()
        else:
            self.refuse(error)

    def _may_retry(self, error: Refusal, connection: UpstreamConnection) -> bool:
        """Once more, if a connection was closed without a byte of an answer to what may be asked twice."""
        return (
            isinstance(error, UpstreamClosed)
            and connection.is_unanswered
            and not self._retried
            and not self._body_sent
            and self.request_complete
            and self.request.method in _IDEMPOTENT
            and connection.pool.may_retry(connection)
        )

    # --- backpressure

    def upstream_blocked(self) -> None:
        self._client.hold("upstream")

    def upstream_writable(self) -> None:
        self._client.release("upstream")

    def client_blocked(self) -> None:
        if self._upstream is not None:
            self._upstream.pause_reading()

    def client_writable(self) -> None:
        if self._upstream is not None:
            self._upstream.resume_reading()

    # --- an upgraded connection

    def switched(self, headers: list[Header]) -> Tunnel:
        """The upstream agreed to the upgrade (RFC 9110 §15.2.2): from here on a tunnel carries bytes."""
        client, upstream = self._client, self._upstream
        assert upstream is not None
        self.answer.switch(headers, self._issued)
        self.tunnel = Tunnel(self, client, upstream, self.idle_timeout, self._token_ends_at())
        client.become_tunnel(self.tunnel)
        self._outlive_reload()
        return self.tunnel

    def _outlive_reload(self) -> None:
        """Have a request judged by the present rules that shows only now, after a reload, that it has no end."""
        plane = self._client.plane
        if self.snapshot is not plane.snapshot:
            plane.judge_soon(self._client)

    def _token_ends_at(self) -> float:
        if self.principal is None or self.route is None:
            return inf
        return monotonic() + self.principal.usable_until + self.route.expiry_grace - self._client.plane.clock()

    def tunnel_closed(self, error: Refusal | None) -> None:
        """The tunnel has ended, by whatever side."""
        self.error = error
        self._upstream = None
        self._end(closes=True)

    # --- refusing, and the end

    def deadline_passed(self, now: float) -> None:
        self.refuse(ExpiredToken("the token ran out while the answer was under way"))

    def cut(self, error: Refusal) -> None:
        """End a request that was let through, however far it has come."""
        if self.tunnel is not None:
            self.tunnel.cut(error)
            self._client.abort()  # also what the client has not taken yet
        else:
            self.refuse(error)

    @property
    def is_endless(self) -> bool:
        """Whether nobody knows when this ends: an upgraded connection, or an answer without announced length."""
        return self.tunnel is not None or self.answer.is_endless

    @property
    def is_stream(self) -> bool:
        """Whether this goes on for as long as both sides like: an upgraded connection, or a stream of events."""
        return self.tunnel is not None or self.answer.is_stream

    def end_stream(self, error: Refusal) -> None:
        """End it between two pieces. A client of HTTP/1.1 sees that no end was announced."""
        if self.tunnel is not None:
            self.tunnel.end(error)
        else:
            self.error = error
            self._end(closes=True)

    def refuse(self, error: Refusal) -> None:
        """Answer with the public face of a refusal; if the answer has begun, cut it."""
        if self._ended:
            return
        self.error = error
        if self.answer.status:
            self._end_broken()
            return
        shown = face(error, self.snapshot.challenge, self.request_id)
        cors = self.snapshot.cors if self.route is None else self.route.cors
        readable = cors.readable(self.request) if cors is not None else ()
        names = self.snapshot.config.headers
        issued = issued_headers(self.request, names)
        headers = (*shown.headers, (names.request_id, self.request_id), *issued, *readable)
        self._answer_ourselves(shown.status, headers, shown.body, closes=error.closes_connection)

    def _answer_ourselves(
        self, status: int, headers: tuple[tuple[str, str], ...], body: bytes, *, closes: bool = False
    ) -> None:
        closes = closes or not self.keeps_alive or self._client.plane.is_draining or not self._rest_is_small()
        self.answer.whole(status, headers, body, closes=closes)
        self._end(closes=closes)

    def _rest_is_small(self) -> bool:
        """Whether reading the rest of the request just to throw it away costs less than a new connection."""
        if self.request_complete:
            return True
        fits = self.framing == "length" and self.length <= DISCARDED_BYTES
        return fits and not expects_continue(self.request)

    def client_gone(self, error: ClientGone) -> None:
        """The client closed the connection, or had to be cut."""
        if self._ended:
            return
        self.error = error
        self._leave()
        self._finish()

    def _end(self, *, closes: bool) -> None:
        self._leave()
        self._client.flush()
        self._finish()
        self._client.relay_ended(self, closes=closes)

    def _end_broken(self) -> None:
        """The answer cannot be completed: the client must see that it was cut."""
        self._leave()
        self._finish()
        if self.answer.framing == "close":
            self._client.reset()
        else:
            self._client.abort()

    def _leave(self) -> None:
        """Let go of the upstream, wherever we are with it."""
        if self._decision_task is not None:
            self._decision_task.cancel()
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.abort()
        elif self._pool is not None and self._is_waiting:
            self._pool.give_up(self)
        self._client.release_all()

    def _finish(self) -> None:
        self._ended = True
        self._client.door.requests -= 1
        if self.deadline != inf:
            self._client.plane.deadlines.forget(self)
        self._client.plane.record(self)
