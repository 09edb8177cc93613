"""A server of pages that are only read: GET and HEAD over HTTP/1, parsed by llhttp.

Every process has one for its metrics and its health, and many need no other HTTP application: a framework for these few
pages would be a fifth of their memory and of their start.
"""

import asyncio
import socket
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

Place = tuple[str, int] | Path | socket.socket
"""Host and port, the path of a Unix socket, or a socket that listens: it is closed in the end."""

CONNECTIONS = 100
"""Beyond that they are closed."""
PATIENCE = 20.0
"""Seconds for a request head to come. Longer than the usual scrape interval of 15 s, so that scrapers keep their
connection."""
READING = 30.0
"""How long a client may take nothing of an answer that is larger than the buffers."""
_HEAD_BYTES = 8192
_HEADERS = 64
_END = 1.0
"""Seconds that answers under way may still take at the end."""
_PHRASES = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a page shows."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


Page = Callable[[str], Awaitable[Sheet]]
"""Gets the Accept header, empty where there is none."""


@dataclass(frozen=True, slots=True)
class _Request:
    """One that is to be answered: with a page, or with what is wrong about it. `page` is None for that."""

    page: Page | None
    fault: int = 0
    accept: str = ""
    has_body: bool = True
    keeps: str = "close"


class PageServer:
    """Make one with `listening`."""

    def __init__(self, pages: Mapping[str, Page], most: int) -> None:
        self.pages = pages
        self.most = most
        self.connections: set[_Connection] = set()
        self._server: asyncio.Server

    @classmethod
    async def listening(cls, pages: Mapping[str, Page], place: Place, *, connections: int = CONNECTIONS) -> Self:
        """Show pages, by path, at a place. Raises OSError."""
        self = cls(pages, connections)
        loop = asyncio.get_running_loop()

        def connection() -> _Connection:
            return _Connection(self, loop)

        if isinstance(place, Path):
            self._server = await loop.create_unix_server(connection, str(place))
        elif not isinstance(place, socket.socket):
            self._server = await loop.create_server(connection, *place)
        elif place.family == socket.AF_UNIX:
            # Others may listen there, so the end of this one leaves the file where it is.
            options: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
            self._server = await loop.create_unix_server(connection, sock=place, **options)
        else:
            self._server = await loop.create_server(connection, sock=place)
        return self

    @property
    def addresses(self) -> list[Any]:
        """Where it listens: tells the port that was taken for port 0."""
        return [sock.getsockname() for sock in self._server.sockets]

    async def cleanup(self) -> None:
        """Stop, when the answers under way are given."""
        self._server.close()
        for connection in list(self.connections):
            connection.end()
        if answering := [each.answering for each in self.connections if each.answering is not None]:
            await asyncio.wait(answering, timeout=_END)
        for connection in list(self.connections):
            connection.abort()
        while self.connections:  # noqa: ASYNC110 - the loop tells them in its next turn
            await asyncio.sleep(0)
        await self._server.wait_closed()


class _Connection(asyncio.Protocol):
    """Answers one request after the other. It ends by itself when nothing comes and when nobody takes its answer."""

    def __init__(self, server: PageServer, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self._parser = HttpRequestParser(self)
        self._waiting: deque[_Request] = deque()
        self._is_ending = False
        self._timer: asyncio.TimerHandle | None = None
        self._taken = asyncio.Event()
        self._taken.set()
        self._start_head()
        self.answering: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._server.connections.add(self)
        if len(self._server.connections) > self._server.most:
            self.abort()
        else:
            self._allow(PATIENCE)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        self._allow(None)
        if self.answering is not None:
            self.answering.cancel()

    def end(self) -> None:
        """End, as soon as nothing is to be answered."""
        self._is_ending = True
        if self.answering is None:
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    # --- requests

    def data_received(self, data: bytes) -> None:
        if self._is_ending:
            return
        self._raw_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:  # the offer is not taken: what follows would be HTTP, but was not read as such
            self._is_ending = True
        except HttpParserError:
            self._refuse()
        if self._raw_bytes > _HEAD_BYTES:  # and still no end of the head
            self._refuse()
        if self._waiting and self.answering is None:
            self._allow(None)
            self._transport.pause_reading()
            self.answering = self._loop.create_task(self._answer())

    def eof_received(self) -> bool:
        self._is_ending = True
        return self.answering is not None

    def _refuse(self) -> None:
        """Answer that this is no request, as the last one. It is said to nobody else: there may be secrets in it."""
        if not self._is_ending:
            self._is_ending = True
            self._waiting.append(_Request(None, 400))

    # --- what llhttp finds

    def on_url(self, url: bytes) -> None:
        self._target += url
        self._head_bytes += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers += 1
        self._head_bytes += len(name) + len(value)
        lower = name.lower()
        if lower == b"accept":
            self._accept.append(value.decode("latin-1"))
        elif lower in (b"transfer-encoding", b"content-length"):
            self._has_content |= value != b"0"

    def on_headers_complete(self) -> None:
        if self._is_ending:
            return
        if self._head_bytes > _HEAD_BYTES or self._headers > _HEADERS:
            self._refuse()
            return
        self._is_ending = self._has_content or not self._parser.should_keep_alive()  # content is not read
        keeps = "close" if self._is_ending else "keep-alive"
        method, path = self._parser.get_method(), self._target.partition(b"?")[0].decode("latin-1")
        page = self._server.pages.get(path)
        fault = 404 if page is None else 405 if method not in (b"GET", b"HEAD") else 0
        accept = ", ".join(self._accept)
        self._waiting.append(_Request(None if fault else page, fault, accept, method != b"HEAD", keeps))
        self._start_head()

    def _start_head(self) -> None:
        self._target = b""
        self._accept: list[str] = []
        self._head_bytes = self._raw_bytes = self._headers = 0
        self._has_content = False

    # --- answers

    async def _answer(self) -> None:
        try:
            while self._waiting:
                request = self._waiting.popleft()
                self._write(request, await self._sheet(request))
                await self._taken.wait()
        finally:
            self.answering = None
        if self._is_ending:
            self._allow(READING)
            self._transport.close()
        else:
            self._allow(PATIENCE)
            self._transport.resume_reading()

    async def _sheet(self, request: _Request) -> Sheet:
        status = request.fault
        if request.page is not None:
            try:
                return await request.page(request.accept)
            except Exception as error:  # noqa: BLE001 - a bug: it is told to operators, and not to who asks
                self._loop.call_exception_handler({"message": "Error showing a page", "exception": error})
                status = 500
        return Sheet(status, f"{status} {_PHRASES[status]}\n".encode())

    def _write(self, request: _Request, sheet: Sheet) -> None:
        head = [
            f"HTTP/1.1 {sheet.status} {_PHRASES[sheet.status]}",
            f"Date: {time.strftime('%a, %d %b %Y %H:%M:%S GMT', time.gmtime())}",
            f"Content-Type: {sheet.content_type}",
            f"Content-Length: {len(sheet.body)}",
            "Cache-Control: no-store",
            "Server: gateway",
            f"Connection: {request.keeps}",
            *(["Allow: GET, HEAD"] if sheet.status == 405 else []),
        ]
        content = sheet.body if request.has_body else b""
        self._transport.write("\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + content)

    def pause_writing(self) -> None:
        self._taken.clear()
        self._allow(READING)

    def resume_writing(self) -> None:
        self._taken.set()
        self._allow(None)

    # --- time

    def _allow(self, seconds: float | None) -> None:
        """Let the connection last for so long if nothing happens; None for no limit."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self._loop.call_later(seconds, self.abort)
