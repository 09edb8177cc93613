"""One client's connection: requests in, answers out, in order.

A RequestReader makes Relays of what arrives; pipelined ones wait in a queue, and reading is held meanwhile. A hold has
a reason; reading goes on when the last one is released.
"""

import asyncio
import socket
import struct
from collections import deque
from fcntl import ioctl
from math import inf
from termios import FIONREAD
from time import monotonic
from typing import TYPE_CHECKING, Final, cast

from gateway.config.snapshot import Snapshot
from gateway.model.errors import ClientGone, ConnectionLimit, ShuttingDown, SlowReader, SlowRequest
from gateway.model.request import Peer
from gateway.proxy.cuts import Cut
from gateway.proxy.doors import Door
from gateway.proxy.pace import Pace, acknowledged
from gateway.proxy.plane import DataPlane
from gateway.proxy.reading import RequestReader
from gateway.proxy.relay import DISCARDED_BYTES, Relay
from gateway.proxy.rounds import Connection
from gateway.proxy.tunnel import Tunnel

if TYPE_CHECKING:
    from gateway.proxy.tls_entrance import Handshake

_HALF_CLOSED_PATIENCE: Final = 0.5
"""Seconds that a client which has closed its side may stay silent before it counts as gone."""
_QUIET: Final = 1.0
"""Seconds that a connection without request stays open when the process stops: its client may be about to send one."""
_LINGER: Final = 2.0
"""Seconds to read on after a final answer, so that it is not lost in a reset (RFC 9112 §9.6)."""
_LOOK: Final = 0.5
"""Seconds between two looks whether a client is still there, and fast enough."""
_HOLDS_OF_A_RELAY: Final = frozenset({"deciding", "connecting", "upstream"})
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
"""`SO_LINGER` of no time."""
_CLOSE_WAIT: Final = 8
_CLOSED: Final = 7
"""States of a TCP connection in Linux's `TCP_INFO`."""


class ClientConnection(Connection):
    handshake: "Handshake | None" = None
    """What holds a place for this, until it is made."""
    reader: RequestReader

    def __init__(self, plane: DataPlane, *, secure: bool, door: Door | None = None) -> None:
        super().__init__(plane.rounds)
        self.plane = plane
        self.door = door or plane.hall.door("-")
        self.deadline = inf
        self.relay: Relay | None = None
        """The request that is being answered."""
        self.queue: deque[Relay] = deque()
        """Requests behind it."""
        self.holds: set[str] = set()
        self.is_closing = False
        """Nothing more is read."""
        self._secure = secure
        self._tunnel: Tunnel | None = None
        self._out: list[bytes] = []
        self._written = 0
        self._taking: Pace | None = None
        """How the client takes what is written. None as long as it never had to be waited for."""
        self._discarded = 0
        self._lingers_until = 0.0
        self._is_pumping = False
        self._is_blocked = False
        self._is_half_closed = False
        self.leaves = False
        """After the next answer, since it was proven by rules of before."""

    # --- asyncio: the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        name: object = self.transport.get_extra_info("peername")
        peer: Peer = self.plane.snapshot.forwarding.peer(name[0] if isinstance(name, tuple) and name else "unix")
        self.reader = RequestReader(self, peer, secure=self._secure)
        self.deadline = monotonic() + self.plane.timeouts.open
        if self.plane.is_draining or self.leaves:
            self.drain()
        if not self.plane.connected(self):
            self._turn_away()

    def lost(self, error: Exception | None) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        self.deadline = inf
        self.plane.disconnected(self)
        self._give_up(None)

    def received(self, data: bytes) -> None:
        if self._tunnel is not None:
            self._tunnel.from_client(data)
        elif self.is_closing:
            self._discard(len(data))
        elif self.reader.early or "upgrade" in self.holds:
            self.reader.postpone(self.reader.early + data)
        else:
            self.reader.parse(data)

    def eof_received(self) -> bool:
        """The client closed its side: it may still be listening, which shows when it takes what we write."""
        self.take()
        is_listening = self.relay is not None and self.reader.unfinished is None and self._tunnel is None
        if not is_listening or self.is_closing or self._secure:
            return False
        self._is_half_closed = True
        self._look_at_taking(monotonic())
        self.rearm()
        return True

    def pause_writing(self) -> None:
        self._is_blocked = True
        if self._taking is None:
            self._look_at_taking(monotonic())
        if (speaker := self._tunnel or self.relay) is not None:
            speaker.client_blocked()
        self.rearm()

    def resume_writing(self) -> None:
        self._is_blocked = False
        if (speaker := self._tunnel or self.relay) is not None:
            speaker.client_writable()
        self.rearm()
        if self.queue:
            self._pump()

    @property
    def is_tunnel(self) -> bool:
        return self._tunnel is not None

    # --- time

    def rearm(self) -> None:
        """Set the deadline that fits what the connection waits for."""
        reader = self.reader
        is_watched = self._is_half_closed or self._is_blocked or self.holds or reader.unfinished is not None
        if self.relay is not None and not is_watched:
            self.deadline = inf
            return
        now = monotonic()
        if self._is_half_closed:
            self.deadline = now + _HALF_CLOSED_PATIENCE
        elif is_watched:
            self.deadline = now + _LOOK
        elif reader.head_bytes:
            self.deadline = reader.head_ends_at = reader.head_ends_at or now + self.plane.timeouts.head
        else:
            self.deadline = now + self.plane.keep_alive

    def deadline_passed(self, now: float) -> None:
        if self._is_half_closed:
            self._look_at_half_closed(now)
        elif self.is_closing:
            self._look_at_closing(now)
        elif self._is_blocked or self.holds or self.reader.unfinished is not None:
            self._look(now)
        elif self.reader.head_bytes:
            self.reader.refuse(SlowRequest(f"no whole head within {self.plane.timeouts.head:g} s"))
        elif self.plane.is_draining and self._has_unread():
            pass  # it shall be answered
        elif not self._written and not self.plane.is_draining:
            self._cut(Cut.SILENT)
        else:
            self._close_gently(whole_request=True)
            self._lingers_until = now  # nothing was written that could be lost
        if not self.is_closed and self.deadline <= now:
            self.rearm()

    def _look(self, now: float) -> None:
        """See whether the client is still there, and fast enough."""
        patience, rate = self.plane.timeouts.body, self.plane.limits.body_rate
        if self._is_blocked and self._look_at_taking(now) > patience:
            self._cut_slow_reader()
            return
        if self.holds:
            self._probe()
        unfinished = self.reader.unfinished
        if unfinished is None or unfinished.is_fast_enough(now, rate, patience, counts=not self.holds):
            return
        self.reader.unfinished = None
        if self.relay is None:
            self._cut(Cut.SLOW_REST)
        else:
            behind = f"{patience:g} s behind {rate} bytes/s" if rate else f"silent for {patience:g} s"
            unfinished.fail(SlowRequest(f"the body fell {behind}"))

    def _look_at_taking(self, now: float) -> float:
        """Return how many seconds the client is behind in taking what is written."""
        taken = acknowledged(self.transport.get_extra_info("socket"))
        if taken is None:
            taken = self._written - self.transport.get_write_buffer_size()
        if self._taking is None:
            self._taking = Pace(now, taken)
            return 0.0
        return self._taking.look(taken, now, self.plane.limits.body_rate)

    def _look_at_half_closed(self, now: float) -> None:
        if not self._still_takes(now):
            self.abort()

    def _look_at_closing(self, now: float) -> None:
        """Wait for those who still take the last answer, and a moment longer."""
        if self._still_takes(now):
            self._lingers_until = now + _LINGER
        elif now >= self._lingers_until:
            self.abort()
        self.deadline = now + _LOOK

    def _still_takes(self, now: float) -> bool:
        """Say whether something is left for the client. Cut it if it is too slow in taking that."""
        behind = self._look_at_taking(now)
        is_taking = self.transport.get_write_buffer_size() > 0 or (self._taking is not None and self._taking.moved > 0)
        if is_taking and behind > self.plane.timeouts.body:
            self._cut_slow_reader()
        return is_taking

    def _probe(self) -> None:
        """A client that we do not read from cannot tell us that it left; the kernel can."""
        sock = self.transport.get_extra_info("socket")
        if sock is None or sock.family == socket.AF_UNIX or not hasattr(socket, "TCP_INFO"):
            return
        if sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] in (_CLOSE_WAIT, _CLOSED):
            self.abort()

    # --- limits

    def _turn_away(self) -> None:
        """Refuse the connection; without a word if there are far too many."""
        if self.plane.hall.is_crammed(self.door):
            self._cut(Cut.REFUSED)
        else:
            self.reader.refuse(ConnectionLimit(f"{self.door.name}: as many connections as may be"))

    def waiting_since(self) -> float:
        """Return since when this has held a place without being of use (monotonic time), or `inf`."""
        plane, unfinished = self.plane, self.reader.unfinished
        timeouts, now = plane.timeouts, monotonic()
        if self.is_closing:
            return self._lingers_until - _LINGER
        if self._is_blocked:
            behind = self._look_at_taking(now)
            return now - behind if behind else inf
        if unfinished is not None and not self.holds:
            unfinished.is_fast_enough(now, plane.limits.body_rate, timeouts.body, counts=True)
            return unfinished.slow_since
        if self.relay is not None or self.holds:
            return inf
        if self.reader.head_bytes:
            return self.deadline - timeouts.head
        return self.deadline - (timeouts.keep_alive if self._written else timeouts.open)

    def crowd_out(self) -> bool:
        """Make room for another, unless more has arrived just now. A request that is too slow is told so, if it can
        still hear it.
        """
        if self._arrived or (self._is_idle and self._has_unread()):
            return False
        unfinished, self.reader.unfinished = self.reader.unfinished, None
        if self._is_blocked:
            self._cut_slow_reader()
        elif unfinished is not None and self.relay is not None:
            unfinished.fail(SlowRequest("it was slow, and its place was needed"))
        if not self.is_closed:
            self._cut(Cut.CROWDED_OUT)
        return True

    def _cut(self, reason: Cut) -> None:
        self.plane.cuts.add(reason)
        self.abort()

    def _cut_slow_reader(self) -> None:
        """Close with a reset: what the kernel holds for the client is not taken either."""
        if self.relay is None:
            self.plane.cuts.add(Cut.SLOW_READER)
        self._give_up(SlowReader("the client does not take its answer"))
        self.reset()

    def _give_up(self, error: SlowReader | None) -> None:
        """End whatever is under way without a word to the client, which left by itself unless there is an error."""
        relay, self.relay = self.relay, None
        self.queue.clear()
        if self._tunnel is not None:
            self._tunnel.client_gone(error)
        elif relay is not None:
            relay.client_gone(error or ClientGone("the client closed the connection"))

    # --- holds: reasons not to read

    def hold(self, reason: str) -> None:
        if not self.holds and not self.is_closed:
            self.transport.pause_reading()
        self.holds.add(reason)
        self.rearm()

    def release_all(self) -> None:
        """Drop the holds that a relay has put."""
        if self.holds:
            for reason in _HOLDS_OF_A_RELAY & self.holds:
                self.release(reason)

    def release(self, reason: str) -> None:
        if reason not in self.holds:
            return
        self.holds.discard(reason)
        if not self.holds and not self.is_closed:
            self.transport.resume_reading()
        else:
            self.reader.parse_soon()
        self.rearm()

    # --- writing

    def send(self, data: bytes) -> None:
        """Put bytes into the next `flush`."""
        self._out.append(data)

    def flush(self) -> None:
        out = self._out
        if not out or self.is_closed:
            return
        data = out[0] if len(out) == 1 else b"".join(out)
        self._out = []
        self._written += len(data)
        self.write(data)

    def abort(self) -> None:
        """Close at once. The client sees that something was cut."""
        self.write_out()
        self.transport.abort()
        self.lost(None)

    def reset(self) -> None:
        """Close at once, with a reset: a client that takes a closed connection for the end sees the cut too."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None and sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.abort()

    # --- one relay after the other

    def enqueue(self, relay: Relay) -> None:
        """Begin with a request when its turn comes."""
        if self.is_closing:
            return
        if self.leaves:
            relay.keeps_alive = False
        if self.relay is None and not self.queue and self._takes():
            self.relay = relay
            relay.begin()
            if self._is_answering(relay):
                self.rearm()
            return
        self.queue.append(relay)
        self._pump()

    def _is_answering(self, relay: Relay) -> bool:
        return self.relay is relay

    def relay_ended(self, relay: Relay, *, closes: bool) -> None:
        """The answer is written: close, throw away the rest of the request, or begin with the next one."""
        self.relay = self._tunnel = None
        if closes or (self._is_half_closed and not (self.queue or self.reader.early)):
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
        while self.queue and self.relay is None and not self.is_closing and self._takes():
            relay = self.relay = self.queue.popleft()
            relay.begin()
        self._is_pumping = False
        if self.is_closing:
            return
        if self.queue:
            self.hold("queue")
        elif self.holds:
            self.release("queue")
        if self.relay is None and self.reader.unfinished is None and not self.queue:
            self.await_next()
        else:
            self.rearm()

    def _takes(self) -> bool:
        """Whether the client takes what was said so far."""
        self.write_out()
        return not (self._is_blocked or self.is_closed)

    def await_next(self) -> None:
        """Wait for another request."""
        self.rearm()
        if self.holds:
            self.release("upgrade")
        if self.plane.is_draining or self.leaves:
            self.drain()

    def become_tunnel(self, tunnel: Tunnel) -> None:
        """From here on bytes pass as they are; those that came early go first."""
        early, self.reader.early = self.reader.early, b""
        self._tunnel = tunnel
        if early:
            tunnel.from_client(early)
        self.release("early")
        self.release("upgrade")
        self.deadline = inf

    # --- the end

    def _close_gently(self, *, whole_request: bool) -> None:
        """Close; if the client is still sending, half-close and read on for a moment."""
        self.is_closing = True
        self.queue.clear()
        if self.is_closed:
            return
        self.flush()
        self.write_out()
        now = monotonic()
        self._lingers_until = now + _LINGER
        self.deadline = now + _LOOK
        if whole_request or self._secure or self._is_half_closed or not self.transport.can_write_eof():
            self.transport.close()
            return
        for reason in tuple(self.holds):
            self.release(reason)
        try:
            self.transport.write_eof()
        except OSError:  # asyncio's own transport, after a reset that it has not noticed yet
            self.abort()
        else:
            self.deadline = now + _LOOK

    def _discard(self, size: int) -> None:
        self._discarded += size
        if self._discarded > 16 * DISCARDED_BYTES:
            self._cut(Cut.SLOW_REST)

    # --- another Snapshot is in force

    def meet(self, snapshot: Snapshot, *, stays: bool) -> None:
        """See the peer as the new Snapshot does: it may be a trusted proxy no more, or have become one.

        Unless it `stays`, the connection takes no further request: a new one would be refused, or proven otherwise.
        """
        peer = self.reader.peer = snapshot.forwarding.peer(self.reader.peer.address)
        for relay in self.queue:
            relay.request.peer = peer
        if not stays:
            self.leaves = True
            for each in (self.relay, *self.queue):
                if each is not None:
                    each.keeps_alive = False
            self.drain()
            if self.relay is not None and self.relay.is_stream:
                self.relay.end_stream(ShuttingDown("the listener takes the certificates of other clients now"))

    # --- the process is told to stop

    def drain(self) -> None:
        """Close soon if nothing is going on; otherwise the answer that is under way will be the last."""
        if self._is_idle and not self._is_half_closed:
            self.deadline = min(self.deadline, monotonic() + _QUIET)

    def end_stream(self) -> None:
        """End what has no end of its own."""
        if self.relay is not None and self.relay.is_stream:
            self.relay.end_stream(ShuttingDown("the process was told to stop"))

    def shut_down(self) -> None:
        """End whatever is under way."""
        if self.relay is not None:
            self.relay.cut(ShuttingDown("it took longer than timeouts.drain"))
        else:
            self.abort()

    @property
    def _is_idle(self) -> bool:
        """Whether no part of a request is here, as far as it was read."""
        is_between = self.relay is None and self.reader.unfinished is None and not self.queue
        return is_between and not (self.is_closing or self.reader.head_bytes)

    def _has_unread(self) -> bool:
        """Whether the kernel has bytes of the client."""
        sock = self.transport.get_extra_info("socket")
        return sock is not None and sock.fileno() >= 0 and any(ioctl(sock.fileno(), FIONREAD, bytes(4)))
