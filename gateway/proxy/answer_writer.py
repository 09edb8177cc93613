"""Writes one answer to the client: its head once, then its body, framed so that the client sees where it ends."""

from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Final

from gateway.config.schema import HeaderNames
from gateway.engine.routes import Route
from gateway.model.faces import OWN_REASON
from gateway.model.request import Header, InboundRequest
from gateway.proxy.answer_heads import AnswerHead
from gateway.proxy.heads import Framing, as_lines, expects_continue, own_response, status_line
from gateway.proxy.issued import with_issued

if TYPE_CHECKING:
    from gateway.proxy.client import ClientConnection

_OWN_REASON: Final = OWN_REASON.lower().encode()
LAST_CHUNK: Final = b"0\r\n\r\n"
_STREAMS: Final = (b"text/event-stream", b"multipart/x-mixed-replace")
"""Media types of answers that go on until a side closes."""


class AnswerWriter:
    """The answer to one request. Times are monotonic, 0 for what has not happened; sizes are body bytes."""

    status = 0
    body_bytes = 0
    began_at = 0.0
    framing: Framing = "none"
    """As the client gets it."""
    closes = False
    """Whether the connection ends with it."""
    is_endless = False
    """Whether its length was not announced."""
    reason: str | None = None
    """Why an endpoint of the gateway itself refused."""
    _headers: Sequence[Header] = ()

    def __init__(self, client: "ClientConnection", request: InboundRequest) -> None:
        self._client = client
        self._request = request
        self._is_head = request.method == "HEAD"

    def interim(self, status: int, headers: list[Header]) -> None:
        """Pass a 1xx answer on to those who can understand it (RFC 9110 §15.2)."""
        if self._request.version == "1.1" and (status != 100 or expects_continue(self._request)):
            head = self._client.plane.answer_heads.read(status, "1.1", headers)
            self._client.send(status_line(status) + head.lines + b"\r\n")
            self._client.flush()

    def head(
        self,
        status: int,
        version: str,
        headers: list[Header],
        route: Route | None,
        issued: HeaderNames | None,
        *,
        keeps_alive: bool,
    ) -> AnswerHead:
        """Begin with an upstream's answer. `issued` names the headers of new tokens, if some were made on the way.

        A body without announced end is chunked for HTTP/1.1 clients: they see a cut.
        """
        cors = None if route is None else route.cors
        marks_cors = cors is not None and cors.answers_preflight
        is_own = route is not None and route.is_own
        if is_own:
            headers = self._without_reason(headers)
        head = self._client.plane.answer_heads.read(
            status, version, headers, is_head=self._is_head, marks_cors=marks_cors, is_own=is_own
        )
        self.status = status
        self.began_at = monotonic()
        self.framing = head.framing
        is_old = self._request.version == "1.0"
        if head.framing in ("chunked", "close"):
            self.is_endless = True
            self._headers = headers
            self.framing = "close" if is_old else "chunked"
        self.closes = not keeps_alive or self.framing == "close"
        lines = head.lines if issued is None else with_issued(head.lines, self._request, issued)
        if cors is not None and marks_cors:
            lines += as_lines(cors.readable(self._request))
        self._client.send(b"".join((status_line(status), lines, self._connection_lines(is_old=is_old), b"\r\n")))
        return head

    def _without_reason(self, headers: list[Header]) -> list[Header]:
        """Note why an endpoint of the gateway refuses, and return the headers that are for the client."""
        kept = []
        for name, value in headers:
            if name.lower() == _OWN_REASON:
                self.reason = value.decode("latin-1")
            else:
                kept.append((name, value))
        return kept

    def _connection_lines(self, *, is_old: bool) -> bytes:
        lines = b"Transfer-Encoding: chunked\r\n" if self.framing == "chunked" else b""
        if self.closes:
            return lines + b"Connection: close\r\n"
        return lines + b"Connection: keep-alive\r\n" if is_old else lines

    def body(self, data: bytes) -> None:
        """Go on with a piece of the body."""
        self.body_bytes += len(data)
        if self.framing == "chunked":
            self._client.send(b"%x\r\n" % len(data))
            self._client.send(data)
            self._client.send(b"\r\n")
        else:
            self._client.send(data)

    def end(self) -> None:
        """Mark the end of the body."""
        if self.framing == "chunked":
            self._client.send(LAST_CHUNK)

    def whole(self, status: int, headers: tuple[tuple[str, str], ...], body: bytes, *, closes: bool) -> None:
        """Answer in the gateway's own name."""
        self.status = status
        self.began_at = monotonic()
        if not self._is_head:
            self.body_bytes = len(body)
        date = self._client.plane.http_date()
        self._client.send(own_response(status, date, headers, body, is_head=self._is_head, closes=closes))

    def switch(self, headers: list[Header], issued: HeaderNames | None) -> None:
        """Tell of the upgrade that the upstream has agreed to (RFC 9110 §15.2.2)."""
        self.status = 101
        self.began_at = monotonic()
        protocol = next((value for name, value in headers if name.lower() == b"upgrade"), b"")
        lines = self._client.plane.answer_heads.read(101, "1.1", headers).lines
        if issued is not None:
            lines = with_issued(lines, self._request, issued)
        self._client.send(status_line(101) + lines + b"Connection: Upgrade\r\nUpgrade: " + protocol + b"\r\n\r\n")
        self._client.flush()

    @property
    def is_stream(self) -> bool:
        """Whether it goes on for as long as both sides like."""
        kinds = (value for name, value in self._headers if name.lower() == b"content-type")
        return next(kinds, b"").partition(b";")[0].strip().lower() in _STREAMS
