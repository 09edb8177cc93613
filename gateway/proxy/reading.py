"""Reads requests out of the bytes of a client's connection.

llhttp parses; `on_…` are its callbacks while `feed_data` runs. Each head becomes a Relay, which gets its body from
here. Bytes that came too early wait, and the connection is held meanwhile.
"""

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Final

import httptools

from gateway.model.errors import (
    MalformedMessage,
    OversizedHead,
    OversizedTarget,
    Refusal,
    UnsupportedVersion,
)
from gateway.model.request import Header, InboundRequest, Peer
from gateway.proxy.heads import request_framing
from gateway.proxy.relay import Relay
from gateway.proxy.traced_relay import TracedRelay

if TYPE_CHECKING:
    from gateway.proxy.client import ClientConnection

_PIECE: Final = 8 * 1024
"""Bytes parsed in one go, so that one client's row of small requests neither stops the others nor piles up here."""
_SEGMENTS: Final = 1024
"""In so many pieces a head may arrive: each costs more than its bytes."""
_EARLY_ONLY: Final = frozenset({"early"})


class RequestReader:
    """One per connection."""

    head_bytes = 0
    """Since the last body byte or end of a head. Not 0 while a head is incomplete."""
    head_ends_at = 0.0
    """When an incomplete head has taken too long (monotonic time); 0 while an answer before it is under way."""
    unfinished: Relay | None = None
    """The request whose body is still arriving."""

    def __init__(self, client: "ClientConnection", peer: Peer, *, secure: bool) -> None:
        self._client = client
        self.peer = peer
        self._secure = secure
        self._parser = httptools.HttpRequestParser(self)
        self._target = b""
        self._headers: list[Header] = []
        self._segment_bytes = self._segments = 0
        self._in_head = False
        self._is_muted = False
        self.early = b""
        self._next_piece: asyncio.Handle | None = None

    def parse(self, data: bytes) -> None:
        """Parse a piece; the rest when other connections have had their turn, and nothing holds any more."""
        size = len(data)
        if size > _PIECE and size > (most := self._piece()):
            self.postpone(data[most:])
            data, size = data[:most], most
        begins = self.head_bytes == 0 and self.unfinished is None
        self._segment_bytes = size
        self.head_bytes += size
        if not self._feed(data) or self._client.is_closing:
            return
        if self.unfinished is not None:
            self.unfinished.body_pauses()
        if self.head_bytes or self._in_head:
            self._check_beginning(begins=begins)

    def _begin_head(self) -> None:
        client = self._client
        self._segments = 0
        if client.relay is None:
            client.deadline = self.head_ends_at = monotonic() + client.plane.timeouts.head
        else:
            self.head_ends_at = 0.0

    def _check_beginning(self, *, begins: bool) -> None:
        """Look at what is incomplete: a head, the size of a chunk, trailers."""
        most = self._client.plane.header_bytes
        if self.head_bytes == 0:  # it began behind the end of another request
            self.head_bytes = 1
            begins = True
        if begins:
            self._begin_head()
        if self.unfinished is None:
            self._segments += 1
        if self.head_bytes > most:
            self._refuse_message(OversizedHead(f"more than {most} bytes without an end"))
        elif self._segments > _SEGMENTS:
            self._refuse_message(OversizedHead(f"in more than {_SEGMENTS} pieces"))

    def _piece(self) -> int:
        unfinished = self.unfinished
        if unfinished is None or unfinished.framing != "length":
            return _PIECE
        return max(_PIECE, unfinished.length - unfinished.request_bytes)

    # --- bytes that came too early

    def postpone(self, data: bytes) -> None:
        """Keep bytes for later. Reading is held until they are parsed, or a tunnel takes them."""
        self.early = data
        if data:
            self._client.hold("early")
            self.parse_soon()

    def parse_soon(self) -> None:
        """Go on with what came early, if nothing else holds."""
        if self._client.holds == _EARLY_ONLY and self._next_piece is None:
            self._next_piece = self._client.plane.loop.call_soon(self._parse_early)

    def _parse_early(self) -> None:
        self._next_piece = None
        client = self._client
        if client.holds != _EARLY_ONLY or client.is_closing or client.is_closed:
            return
        early, self.early = self.early, b""
        self.parse(early)
        if self.early:
            self.parse_soon()
        else:
            client.release("early")

    # --- what cannot be parsed

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
            self.refuse(cause)
        else:
            self._client.plane.report_bug("parser callback", cause)
            self._client.abort()

    def _refuse_message(self, error: Refusal) -> None:
        """Refuse a message whose end will never be known: a head, or the rest of a body."""
        client = self._client
        unfinished, self.unfinished = self.unfinished, None
        last = client.queue[-1] if client.queue else client.relay
        if unfinished is not None:
            client.hold("closing")
            unfinished.fail(error)
        elif last is not None and not last.keeps_alive:
            client.hold("closing")  # bytes after a request that ends the connection: nobody reads them
        else:
            self.refuse(error)

    def refuse(self, error: Refusal) -> None:
        """Refuse what never became a request, after everything before it has been answered."""
        client = self._client
        self.unfinished = None
        self.head_bytes = 0
        self._in_head = False
        client.hold("closing")
        nothing = InboundRequest("", b"", [], self.peer, secure=self._secure)
        client.enqueue(Relay(client, nothing, "none", 0, keeps_alive=False, error=error))

    def _after_upgrade(self, rest: bytes) -> None:
        """llhttp stops at an upgrade. A body goes on in a new parser; other bytes wait for their owner."""
        self._parser = httptools.HttpRequestParser(self)
        if self.unfinished is not None:
            self._continue_body(self.unfinished)
        elif self._client.relay is not None:
            self._client.hold("upgrade")
        self.postpone(rest + self.early)

    def _continue_body(self, relay: Relay) -> None:
        """Tell the new parser how the body is framed whose head another parser has read."""
        self._is_muted = True
        mark = b"Transfer-Encoding: chunked" if relay.framing == "chunked" else b"Content-Length: %d" % relay.length
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
        if len(self._target) > self._client.plane.target_bytes:
            raise OversizedTarget(f"more than {self._client.plane.target_bytes} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # what comes later is a trailer: dropped
            bare = value.rstrip(b" \t")  # llhttp leaves that (RFC 9110 §5.5)
            if bare is not value and b"\t" in value and name.lower() == b"transfer-encoding":
                raise MalformedMessage("a tab behind Transfer-Encoding: llhttp would refuse the body")
            self._headers.append((name, bare))

    def on_headers_complete(self) -> None:
        self._in_head = False
        client = self._client
        if self._is_muted or client.is_closing:
            return
        parser = self._parser
        version = parser.get_http_version()
        self._check_head(version)
        self.head_bytes = 0
        method = parser.get_method().decode("ascii")
        request = InboundRequest(method, self._target, self._headers, self.peer, secure=self._secure, version=version)
        framing, length = request_framing(request)
        keeps_alive = parser.should_keep_alive()
        if client.plane.traces is None:
            relay = Relay(client, request, framing, length, keeps_alive=keeps_alive)
        else:
            relay = TracedRelay(client, request, framing, length, keeps_alive=keeps_alive)
        if framing != "none":
            self.unfinished = relay
        client.enqueue(relay)

    def _check_head(self, version: str) -> None:
        if version != "1.1" and version != "1.0":
            raise UnsupportedVersion(f"HTTP/{version}")
        headers, plane = self._headers, self._client.plane
        if len(headers) > plane.headers:
            raise OversizedHead(f"{len(headers)} headers; {plane.headers} are allowed")
        if self.head_bytes + self._segment_bytes <= plane.header_bytes:
            return  # at most so much can belong to this head
        first_line = len(self._parser.get_method()) + len(self._target) + len(" HTTP/1.1\r\n") + 1
        if first_line + sum(len(name) + len(value) + 4 for name, value in headers) + 2 > plane.header_bytes:
            raise OversizedHead(f"more than {plane.header_bytes} bytes")

    def on_body(self, data: bytes) -> None:
        self.head_bytes = 0
        if self.unfinished is not None:
            self.unfinished.body(data)

    def on_message_complete(self) -> None:
        relay, client = self.unfinished, self._client
        if relay is None or self._is_muted or self._parser.should_upgrade():
            return  # nothing to end, or a body that goes on in another parser
        self.unfinished = None
        self.head_bytes = 0
        relay.body_end()
        if client.is_closing:
            return
        if client.relay is None and not client.queue:
            client.await_next()
        elif not client.holds:
            client.rearm()
