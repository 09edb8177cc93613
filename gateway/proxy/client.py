"""One client's connection: heads in, answers out, in order.

llhttp parses; `on_…` are its callbacks. Each request becomes a Relay; pipelined ones wait in a queue, and reading is
held meanwhile. A hold has a reason; reading goes on when the last one is released.
"""

import asyncio
import socket
import struct
from collections import deque
from math import inf
from time import monotonic
from typing import cast

import httptools

from gateway.model.errors import (
    ConnectionLimit,
    MalformedMessage,
    OversizedHead,
    OversizedTarget,
    Refusal,
    SlowRequest,
    UnsupportedVersion,
)
from gateway.model.request import Header, InboundRequest, Peer
from gateway.proxy.heads import Framing, request_framing
from gateway.proxy.plane import DataPlane
from gateway.proxy.relay import Relay
from gateway.proxy.tunnel import Tunnel

_HALF_CLOSED_PATIENCE = 0.5
"""Seconds that a client which has closed its side may stay silent before it counts as gone."""
_LINGER = 2.0
"""Seconds to read on after a final answer, so that it is not lost in a reset (RFC 9112 §9.6)."""
_PROBE = 0.5
"""Seconds between two looks whether a client that we do not read from is still there."""
_PIECE = 8 * 1024
"""Bytes parsed in one go, so that one client's row of small requests neither stops the others nor piles up here."""
_HOLDS_OF_A_RELAY = frozenset({"deciding", "connecting", "upstream"})
_EARLY_ONLY = frozenset({"early"})
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""`SO_LINGER` of no time."""
_CLOSE_WAIT, _CLOSED = 8, 7
"""States of a TCP connection in Linux's `TCP_INFO`."""


class ClientConnection(asyncio.Protocol):
    DISCARDED_BYTES = 64 * 1024
    """How much of a refused request's body is read and thrown away to keep the connection."""

    transport: asyncio.Transport

    def __init__(self, plane: DataPlane, *, secure: bool) -> None:
        self.plane = plane
        self.deadline = inf
        self._secure = secure
        self._peer = Peer("unix")
        self._parser = httptools.HttpRequestParser(self)
        self._target = b""
        self._headers: list[Header] = []
        self._head_bytes = self._segment_bytes = 0  # bytes since the last body byte or end of a head; of this segment
        self._in_head = False
        self._is_muted = False
        self._reading: Relay | None = None
        self._relay: Relay | None = None
        self._tunnel: Tunnel | None = None
        self._queue: deque[Relay] = deque()
        self._holds: set[str] = set()
        self._out: list[bytes] = []
        self._early = b""
        self._next_piece: asyncio.Handle | None = None
        self._written = 0
        self._taken, self._taken_at = 0, 0.0
        self._discarded = 0
        self._is_pumping = False
        self._is_blocked = False
        self._is_half_closed = False
        self._is_closing = False
        self._is_closed = False

    # --- asyncio: the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        name = self.transport.get_extra_info("peername")
        self._peer = self.plane.snapshot.forwarding.peer(name[0] if isinstance(name, tuple) and name else "unix")
        self.deadline = monotonic() + self.plane.timeouts.head
        if not self.plane.connected(self):
            self._refuse_head(ConnectionLimit(f"{self.plane.limits.connections} connections are open"))

    def connection_lost(self, error: Exception | None) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self.deadline = inf
        self.plane.disconnected(self)
        relay, self._relay = self._relay, None
        self._queue.clear()
        if self._tunnel is not None:
            self._tunnel.client_gone()
        elif relay is not None:
            relay.client_gone()

    def data_received(self, data: bytes) -> None:
        if self._tunnel is not None:
            self._tunnel.from_client(data)
        elif self._is_closing:
            self._discard(len(data))
        elif self._early or "upgrade" in self._holds:
            self._postpone(self._early + data)
        else:
            self._parse(data)

    def eof_received(self) -> bool:
        """The client closed its side: it may still be listening, which shows when it takes what we write."""
        is_listening = self._relay is not None and self._reading is None and self._tunnel is None
        if not is_listening or self._is_closing or self._secure:
            return False
        self._is_half_closed = True
        self._taken, self._taken_at = self._written - self.transport.get_write_buffer_size(), monotonic()
        self._rearm()
        return True

    def pause_writing(self) -> None:
        self._is_blocked = True
        if (speaker := self._tunnel or self._relay) is not None:
            speaker.client_blocked()
        self._rearm()

    def resume_writing(self) -> None:
        self._is_blocked = False
        if (speaker := self._tunnel or self._relay) is not None:
            speaker.client_writable()
        self._rearm()
        if self._queue:
            self._pump()

    @property
    def relay(self) -> Relay | None:
        """The request that is being answered."""
        return self._relay

    @property
    def is_tunnel(self) -> bool:
        return self._tunnel is not None

    # --- time

    def _rearm(self) -> None:
        """Set the deadline that fits what the connection waits for."""
        timeouts, now = self.plane.timeouts, monotonic()
        if self._is_half_closed:
            self.deadline = now + _HALF_CLOSED_PATIENCE
        elif self._is_blocked:
            self.deadline = now + timeouts.body
        elif self._holds:
            self.deadline = now + _PROBE
        elif self._reading is not None:
            self.deadline = now + timeouts.body
        elif self._relay is not None:
            self.deadline = inf
        else:
            self.deadline = now + (timeouts.head if self._head_bytes else timeouts.keep_alive)

    def deadline_passed(self, now: float) -> None:
        if self._is_half_closed:
            self._check_half_closed(now)
        elif self._is_closing or self._is_blocked:
            self.abort()
        elif self._holds:
            self._probe()
        elif self._reading is not None and self._relay is None:
            self.abort()  # the rest of a refused request does not come
        elif self._reading is not None:
            reading, self._reading = self._reading, None
            reading.fail(SlowRequest(f"no body bytes for {self.plane.timeouts.body:g} s"))
        elif self._head_bytes:
            self._refuse_head(SlowRequest(f"no whole head within {self.plane.timeouts.head:g} s"))
        else:
            self._close_gently(whole_request=True)
        if not self._is_closed and self.deadline <= now:
            self._rearm()

    def _check_half_closed(self, now: float) -> None:
        unsent = self.transport.get_write_buffer_size()
        taken = self._written - unsent
        if taken != self._taken:
            self._taken, self._taken_at = taken, now
        elif not unsent or now - self._taken_at > self.plane.timeouts.body:
            self.abort()

    def _probe(self) -> None:
        """A client that we do not read from cannot tell us that it left; the kernel can."""
        sock = self.transport.get_extra_info("socket")
        if sock is None or sock.family == socket.AF_UNIX or not hasattr(socket, "TCP_INFO"):
            return
        if sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] in (_CLOSE_WAIT, _CLOSED):
            self.abort()

    # --- holds: reasons not to read

    def hold(self, reason: str) -> None:
        if not self._holds and not self._is_closed:
            self.transport.pause_reading()
        self._holds.add(reason)
        self._rearm()

    def release_all(self) -> None:
        """Drop the holds that a relay has put."""
        if self._holds:
            for reason in _HOLDS_OF_A_RELAY & self._holds:
                self.release(reason)

    def release(self, reason: str) -> None:
        if reason not in self._holds:
            return
        self._holds.discard(reason)
        if not self._holds and not self._is_closed:
            self.transport.resume_reading()
        else:
            self._parse_soon()
        self._rearm()

    # --- writing

    def send(self, data: bytes) -> None:
        """Put bytes into the next `flush`."""
        self._out.append(data)

    def flush(self) -> None:
        out = self._out
        if not out or self._is_closed:
            return
        data = out[0] if len(out) == 1 else b"".join(out)
        self._out = []
        self._written += len(data)
        self.transport.write(data)

    def abort(self) -> None:
        """Close at once. The client sees that something was cut."""
        self.transport.abort()
        self.connection_lost(None)

    def reset(self) -> None:
        """Close at once, with a reset: a client that takes a closed connection for the end sees the cut too."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None and sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.abort()

    # --- one relay after the other

    def _enqueue(self, relay: Relay) -> None:
        if self._is_closing:
            return
        if self._relay is None and not self._queue and not self._is_blocked:
            self._relay = relay
            relay.begin()
            if self._relay is relay:
                self._rearm()
            return
        self._queue.append(relay)
        self._pump()

    def relay_ended(self, relay: Relay, *, closes: bool) -> None:
        """The answer is written: close, throw away the rest of the request, or begin with the next one."""
        self._relay = self._tunnel = None
        if closes or (self._is_half_closed and not (self._queue or self._early)):
            self._close_gently(whole_request=relay.request_complete)
        else:
            self._pump()

    def _pump(self) -> None:
        """Begin with the next request while none is active. A loop, since many may be refused on the spot.

        While the client does not take its answers, none begins: they would pile up here.
        """
        if self._is_pumping:
            return
        self._is_pumping = True
        while self._queue and self._relay is None and not (self._is_closing or self._is_blocked):
            relay = self._relay = self._queue.popleft()
            relay.begin()
        self._is_pumping = False
        if self._is_closing:
            return
        if self._queue:
            self.hold("queue")
        elif self._holds:
            self.release("queue")
        if self._relay is None and self._reading is None and not self._queue:
            self._await_next()
        else:
            self._rearm()

    def _await_next(self) -> None:
        if self.plane.is_draining:
            self._close_gently(whole_request=True)
            return
        self._rearm()
        if self._holds:
            self.release("upgrade")

    def become_tunnel(self, tunnel: Tunnel) -> None:
        """From here on bytes pass as they are; those that came early go first."""
        early, self._early = self._early, b""
        self._tunnel = tunnel
        if early:
            tunnel.from_client(early)
        self.release("early")
        self.release("upgrade")
        self.deadline = inf

    def _close_gently(self, *, whole_request: bool) -> None:
        """Close; if the client is still sending, half-close and read on for a moment."""
        self._is_closing = True
        self._queue.clear()
        if self._is_closed:
            return
        self.flush()
        if whole_request or self._secure or self._is_half_closed or not self.transport.can_write_eof():
            self.transport.close()
            has_unsent = self.transport.get_write_buffer_size() > 0
            self.deadline = monotonic() + (self.plane.timeouts.body if has_unsent else _LINGER)
            return
        for reason in tuple(self._holds):
            self.release(reason)
        try:
            self.transport.write_eof()
        except OSError:  # asyncio's own transport, after a reset that it has not noticed yet
            self.abort()
        else:
            self.deadline = monotonic() + _LINGER

    def _discard(self, size: int) -> None:
        self._discarded += size
        if self._discarded > 16 * self.DISCARDED_BYTES:
            self.abort()

    def drain(self) -> None:
        """Close now if nothing is going on; otherwise the answer that is under way will be the last."""
        if self._relay is None and self._reading is None and not (self._queue or self._is_closing):
            self._close_gently(whole_request=True)

    # --- parsing

    def _parse(self, data: bytes) -> None:
        """Parse a piece; the rest when other connections have had their turn, and nothing holds any more."""
        if len(data) > (size := self._piece()):
            self._postpone(data[size:])
            data = data[:size]
        if self._reading is None:
            if self._head_bytes == 0 and self._relay is None:
                self.deadline = monotonic() + self.plane.timeouts.head
        elif not self._holds:
            self._rearm()
        self._segment_bytes = len(data)
        self._head_bytes += len(data)
        if not self._feed(data) or self._is_closing:
            return
        if self._head_bytes > self.plane.limits.header_bytes:
            self._refuse_message(OversizedHead(f"more than {self.plane.limits.header_bytes} bytes without an end"))

    def _piece(self) -> int:
        reading = self._reading
        if reading is None or reading.framing is not Framing.LENGTH:
            return _PIECE
        return max(_PIECE, reading.length - reading.request_bytes)

    def _postpone(self, data: bytes) -> None:
        """Keep bytes for later. Reading is held until they are parsed, or a tunnel takes them."""
        self._early = data
        if data:
            self.hold("early")
            self._parse_soon()

    def _parse_soon(self) -> None:
        if self._holds == _EARLY_ONLY and self._next_piece is None:
            self._next_piece = self.plane.loop.call_soon(self._parse_early)

    def _parse_early(self) -> None:
        self._next_piece = None
        if self._holds != _EARLY_ONLY or self._is_closing or self._is_closed:
            return
        early, self._early = self._early, b""
        self._parse(early)
        if self._early:
            self._parse_soon()
        else:
            self.release("early")

    def _feed(self, data: bytes) -> bool:
        """Let llhttp call back for what is in the bytes. Returns False when it stopped."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._after_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError as error:
            self._refuse_callback(error.__context__)
        except httptools.HttpParserError as error:
            self._refuse_message(MalformedMessage(str(error)))
        else:
            return True
        return False

    def _refuse_callback(self, cause: BaseException | None) -> None:
        if isinstance(cause, Refusal):
            self._refuse_head(cause)
        else:
            self.plane.report_bug("parser callback", cause)
            self.abort()

    def _refuse_message(self, error: Refusal) -> None:
        """Refuse a message whose end will never be known: a head, or the rest of a body."""
        reading, self._reading = self._reading, None
        last = self._queue[-1] if self._queue else self._relay
        if reading is not None:
            self.hold("closing")
            reading.fail(error)
        elif last is not None and not last.keeps_alive:
            self.hold("closing")  # bytes after a request that ends the connection: nobody reads them
        else:
            self._refuse_head(error)

    def _refuse_head(self, error: Refusal) -> None:
        """Refuse what never became a request, after everything before it has been answered."""
        self._reading = None
        self._head_bytes = 0
        self.hold("closing")
        nothing = InboundRequest("", b"", [], self._peer, secure=self._secure)
        self._enqueue(Relay(self, nothing, Framing.NONE, 0, keeps_alive=False, error=error))

    def _after_upgrade(self, rest: bytes) -> None:
        """llhttp stops at an upgrade. A body goes on in a new parser; other bytes wait for their owner."""
        self._parser = httptools.HttpRequestParser(self)
        if self._reading is not None:
            self._continue_body(self._reading)
        elif self._relay is not None:
            self.hold("upgrade")
        self._postpone(rest + self._early)

    def _continue_body(self, relay: Relay) -> None:
        """Tell the new parser how the body is framed whose head another parser has read."""
        self._is_muted = True
        mark = (
            b"Transfer-Encoding: chunked" if relay.framing is Framing.CHUNKED else b"Content-Length: %d" % relay.length
        )
        self._parser.feed_data(b"POST / HTTP/1.1\r\nHost: gateway\r\n" + mark + b"\r\n\r\n")
        self._is_muted = False

    # --- llhttp: callbacks while `feed_data` runs

    def on_message_begin(self) -> None:
        if self._is_muted:
            return
        self._target = b""
        self._headers = []
        self._in_head = True

    def on_url(self, part: bytes) -> None:
        if self._is_muted:
            return
        self._target += part
        if len(self._target) > self.plane.limits.target_bytes:
            raise OversizedTarget(f"more than {self.plane.limits.target_bytes} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # what comes later is a trailer: dropped
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._is_muted or self._is_closing:
            return
        self._check_head()
        self._head_bytes = 0
        parser = self._parser
        request = InboundRequest(
            parser.get_method().decode("ascii"),
            self._target,
            self._headers,
            self._peer,
            secure=self._secure,
            version=parser.get_http_version(),
        )
        framing, length = request_framing(request)
        relay = Relay(self, request, framing, length, keeps_alive=parser.should_keep_alive())
        if framing is not Framing.NONE:
            self._reading = relay
        self._enqueue(relay)

    def _check_head(self) -> None:
        version = self._parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise UnsupportedVersion(f"HTTP/{version}")
        headers, limits = self._headers, self.plane.limits
        if len(headers) > limits.headers:
            raise OversizedHead(f"{len(headers)} headers; {limits.headers} are allowed")
        if self._head_bytes + self._segment_bytes <= limits.header_bytes:
            return  # at most so much can belong to this head
        if sum(len(name) + len(value) for name, value in headers) > limits.header_bytes:
            raise OversizedHead(f"more than {limits.header_bytes} bytes")

    def on_body(self, data: bytes) -> None:
        self._head_bytes = 0
        if self._reading is not None:
            self._reading.body(data)

    def on_message_complete(self) -> None:
        relay = self._reading
        if relay is None or self._is_muted or self._parser.should_upgrade():
            return  # nothing to end, or a body that goes on in another parser
        self._reading = None
        self._head_bytes = 0
        relay.body_end()
        if self._is_closing:
            return
        if self._relay is None and not self._queue:
            self._await_next()
        elif not self._holds:
            self._rearm()
