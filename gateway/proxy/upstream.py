"""A connection to an upstream.

It serves one relay at a time. It goes back to its pool only after an answer that ended where it said it would, with the
request sent whole; a connection in doubt, or one that spoke without being asked, is closed.
"""

import asyncio
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Final, cast

import httptools

from gateway.model.errors import FirstByteTimeout, IdleTimeout, Refusal, UpstreamClosed, UpstreamMalformed
from gateway.model.request import Header
from gateway.proxy.answer_heads import refuse_interim_body
from gateway.proxy.rounds import Connection

if TYPE_CHECKING:
    from gateway.proxy.pool import UpstreamPool
    from gateway.proxy.relay import Relay
    from gateway.proxy.targets import PooledTarget
    from gateway.proxy.tunnel import Tunnel

_HEAD_BYTES: Final = 64 * 1024
"""The largest answer head."""
_INTERIM_ANSWERS: Final = 16
"""1xx answers to one request."""
_FLUSH_TIME: Final = 5.0
"""Seconds for the last bytes of a tunnel to leave."""


class UpstreamConnection(Connection):
    """One connection: parses answers, hands them to its relay, and knows whether it may serve another."""

    def __init__(self, pool: "UpstreamPool", target: "PooledTarget") -> None:
        super().__init__(pool.rounds)
        self.pool = pool
        self.target = target
        self.relay: Relay | None = None
        self.served = 0
        self.deadline = inf
        self.tunnel: Tunnel | None = None
        self.may_be_replaced = False
        """It failed by its target's fault, and its relay may ask another target."""
        self._is_blocked = False
        self._is_reading_paused = False
        self._reset()

    def _reset(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._headers: list[Header] = []
        self._status = 0
        self._framing = "none"
        self._head_bytes = 0
        self._interim = 0
        self._answered = False
        self._closes = False
        self._doubtful = False
        self.answer_began = False

    # --- asyncio: the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        self.pool.deadlines.watch(self)

    def lost(self, error: Exception | None) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        self.pool.deadlines.forget(self)
        relay, self.relay = self.relay, None
        closed = UpstreamClosed("the upstream closed the connection before its answer was complete")
        if relay is not None and self.tunnel is None and not self.answer_began:
            self._report(relay, closed)
        self.pool.gone(self)
        if self.tunnel is not None:
            self.tunnel.upstream_gone()
        elif relay is None:
            return
        elif self.answer_began and self._framing == "close" and error is None and not self._doubtful:
            relay.answer_end()
        else:
            relay.upstream_failed(closed, self)

    @property
    def is_unanswered(self) -> bool:
        """Whether not a byte came in answer to the request."""
        return not self.answer_began and self._head_bytes == 0

    def eof_received(self) -> bool:
        return False

    def data_received(self, data: bytes) -> None:
        asked_by = self.relay
        if self._arrived:
            self._rounds.work()
        if self.relay is None and self.tunnel is None:
            self.abort()  # nobody asked, and nobody who asks from now on shall take it for an answer
        elif self.relay is not asked_by:
            self.transport.abort()  # as before, but somebody has asked meanwhile
            self.lost(None)
        else:
            super().data_received(data)

    def received(self, data: bytes) -> None:
        if self.tunnel is not None:
            self.tunnel.from_upstream(data)
        elif self.relay is not None:
            self._parse(self.relay, data)
        else:
            self.abort()  # the answer was complete

    def pause_writing(self) -> None:
        self._is_blocked = True
        if self.relay is not None:
            self._renew()
            self.relay.upstream_blocked()

    def resume_writing(self) -> None:
        self._is_blocked = False
        if self.relay is not None:
            self._renew()
            self.relay.upstream_writable()

    def deadline_passed(self, now: float) -> None:
        self.deadline = inf
        relay = self.relay
        if relay is None or self.tunnel is not None:
            self.transport.abort()
            self.lost(None)
            return
        if self.answer_began or self._is_blocked:
            error: Refusal = IdleTimeout("the upstream fell silent")
        else:
            error = FirstByteTimeout(f"no answer within {relay.first_byte_timeout:g} s")
        self._fail(relay, error)

    # --- the relay's side

    def serve(self, relay: "Relay") -> None:
        """Begin to serve a relay. It writes its request with `write`, and says `request_sent` at its end."""
        self.relay = relay
        self.deadline = inf

    def request_sent(self) -> None:
        self._renew()

    def pause_reading(self) -> None:
        self._is_reading_paused = True
        self.transport.pause_reading()
        if self.tunnel is None:
            self.deadline = inf

    def resume_reading(self) -> None:
        self._is_reading_paused = False
        self.transport.resume_reading()
        self._renew()

    def abort(self) -> None:
        """Close at once; the relay, if there is one, hears no more of it."""
        self.relay = self.tunnel = None
        self.deadline = inf
        self.transport.abort()
        self.lost(None)

    def close_after_flush(self) -> None:
        """Close when everything written has been sent; the tunnel hears no more of it."""
        self.relay = self.tunnel = None
        self._arrived = b""
        self.write_out()
        self.deadline = monotonic() + _FLUSH_TIME
        self.transport.close()

    def _renew(self) -> None:
        """Move the deadline: from the end of the request to the head, and between two pieces afterwards."""
        relay = self.relay
        if relay is None or self.tunnel is not None:
            return
        if self.answer_began or self._is_blocked:
            self.deadline = monotonic() + relay.idle_timeout
        elif relay.request_complete:
            self.deadline = monotonic() + relay.first_byte_timeout
        else:
            self.deadline = inf

    # --- parsing

    def _parse(self, relay: "Relay", data: bytes) -> None:
        try:
            if not self.answer_began:
                self._head_bytes += len(data)
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            self._fail(relay, _refusal(error.__context__))
            return
        except (httptools.HttpParserUpgrade, httptools.HttpParserError) as stop:
            if not self._answered:
                self._stop(relay, stop, data)
                return
            self._doubtful = True
        if self._answered:
            self._finish(relay)
        elif not self.answer_began and self._head_bytes > _HEAD_BYTES:
            self._fail(relay, UpstreamMalformed("the answer's head is too large"))
        else:
            self._renew_while_reading()
            relay.answer_flush()

    def _stop(self, relay: "Relay", stop: Exception, data: bytes) -> None:
        if isinstance(stop, httptools.HttpParserUpgrade):
            self._switch(relay, data[stop.args[0] :])
        else:
            self._fail(relay, UpstreamMalformed(f"not HTTP/1.1: {stop}"))

    def _renew_while_reading(self) -> None:
        if self.answer_began and not self._is_reading_paused and self.relay is not None:
            self.deadline = monotonic() + self.relay.idle_timeout

    def _fail(self, relay: "Relay", error: Refusal) -> None:
        if not self.answer_began:
            self._report(relay, error)
        self.relay = None
        self.abort()
        relay.upstream_failed(error, self)

    def _report(self, relay: "Relay", error: Refusal) -> None:
        """Tell the pool of a request without an answer, if that is the target's fault.

        A connection that had been idle may be closed at any time, and an upload that comes too slowly is its client's.
        """
        if not isinstance(error, UpstreamClosed) or (relay.request_complete and self.served == 0):
            self.pool.lost(self, relay, error)

    def _finish(self, relay: "Relay") -> None:
        """The answer is complete: give the connection back or close it, then tell the relay."""
        is_sent = relay.request_complete and not (self._is_blocked or self._leaving)
        reusable = is_sent and not (self._closes or self._doubtful)
        self.relay = None
        self.served += 1
        if reusable and not self.transport.is_closing():
            if self._is_reading_paused:
                self.resume_reading()
            self._after_answer(relay.is_head)
            self.pool.give_back(self)
        else:
            self.abort()
        relay.answer_end()

    def _after_answer(self, was_head: bool) -> None:
        if was_head:
            self._reset()  # llhttp cannot be told that the request was HEAD, and waits for a body
            return
        self._headers = []
        self._head_bytes = self._interim = 0
        self._answered = self._doubtful = self.answer_began = False

    def _switch(self, relay: "Relay", rest: bytes) -> None:
        protocols = [value.lower() for name, value in self._headers if name.lower() == b"upgrade"]
        if self._status != 101 or relay.upgrade is None or protocols != [relay.upgrade]:
            self._fail(relay, UpstreamMalformed("the upstream switched to a protocol that nobody asked for"))
            return
        if self.target.is_watched:
            self.pool.trouble.answered(self.target, 101, relay.sent_at)
        self.tunnel = relay.switched(self._headers)
        if rest:
            self.tunnel.from_upstream(rest)

    # --- llhttp: callbacks while `feed_data` runs

    def on_message_begin(self) -> None:
        if self._answered:
            self._doubtful = True  # a second answer, which nobody asked for
        self._headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.answer_began:  # what comes later is a trailer, or an answer that nobody asked for
            # llhttp leaves spaces and tabs. The tabs stay: for it, `chunked` and a tab is another coding.
            self._headers.append((name, value.rstrip(b" ")))
        elif name.lower() == b"transfer-encoding":  # after it, llhttp waits for more chunks
            raise UpstreamMalformed("a trailer of Transfer-Encoding")

    def on_headers_complete(self) -> None:
        relay = self.relay
        if self._answered or relay is None:
            self._doubtful = True
            return
        status = self._status = self._parser.get_status_code()
        version = self._parser.get_http_version()
        if version not in ("1.1", "1.0") or status < 100:
            raise UpstreamMalformed(f"HTTP/{version} {status}")
        if status < 200:
            self._interim += 1
            if self._interim > _INTERIM_ANSWERS:
                raise UpstreamMalformed("too many interim answers")
            refuse_interim_body(self._headers)
            return
        target = self.target
        if status >= 500 or target.is_watched:
            self.pool.trouble.answered(target, status, relay.sent_at)
        head = relay.answer_head(status, version, self._headers)
        self._framing, self._closes = head.framing, head.closes
        self.answer_began = True
        if relay.is_head:
            self._answered = True

    def on_body(self, data: bytes) -> None:
        if self._answered or self.relay is None:
            self._doubtful = True
        else:
            self.relay.answer.body(data)

    def on_message_complete(self) -> None:
        if self._status == 101:
            return
        if self._status < 200:
            if self.relay is not None:
                self.relay.answer.interim(self._status, self._headers)
            return
        self._answered = True


def _refusal(cause: BaseException | None) -> Refusal:
    return cause if isinstance(cause, Refusal) else UpstreamMalformed(f"cannot be relayed: {cause!r}")
