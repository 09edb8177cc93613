"""Listeners of aiohttp applications: the admin API, the gateway's own routes.

aiohttp by itself answers a request it cannot parse with the offending line, logs that line (it may hold a token)
and names its version; and it drops every limit when one keyword is misspelt. Both are closed here.
"""

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.ops.pages import Place
from gateway.ops.tls_site import Tls, TlsSite

_HEADERS = {"Cache-Control": "no-store", "Server": "gateway"}
"""`Server` is set because aiohttp would else name itself and its version."""
_SHUTDOWN_SECONDS = 1.0
_READING_SECONDS = 30.0
"""How long a client may take nothing of an answer that is larger than the buffers."""

_LIMITS: dict[str, Any] = {
    # Also the time for the first request head. Longer than the usual scrape interval of 15 s, so that scrapers keep
    # their connection.
    "keepalive_timeout": 20.0,
    "lingering_time": 0,
    "access_log": None,
}


async def serve(
    app: web.Application,
    place: Place,
    *,
    line_bytes: int = 2048,
    field_bytes: int = 8192,
    headers: int = 64,
    connections: int = 100,
    tls: Tls | None = None,
) -> web.AppRunner:
    """Listen, and return the runner: `addresses` tells the port that was taken for port 0, `cleanup()` stops.

    Bounds: `line_bytes` of the request line, `field_bytes` of one header, so many `headers`, and `connections` at once;
    beyond that they are closed. `tls` is for a place that is a socket. Raises OSError.
    """
    runner = _Runner(app, shutdown_timeout=_SHUTDOWN_SECONDS)
    runner.most, runner.limits = connections, _limits(line_bytes, field_bytes, headers)
    await runner.setup()
    try:
        if tls is None:
            await _site(runner, place).start()
        else:
            assert isinstance(place, socket.socket)
            await TlsSite(runner, place, tls, connections).start()
    except OSError:
        await runner.cleanup()
        raise
    return runner


async def serve_inside(
    app: web.Application, handlers: Mapping[str, Handler], *, line_bytes: int, field_bytes: int, headers: int
) -> tuple[web.AppRunner, Callable[[], asyncio.Protocol]]:
    """Return the runner, and what makes a protocol for each connection from inside this process; there may be any
    number. `handlers` answer at their paths without a way through the application.

    What was begun for a client goes on when it leaves. Bounds are those of `serve`.
    """
    runner = _Runner(app, shutdown_timeout=_SHUTDOWN_SECONDS)
    runner.finishes, runner.handlers, runner.limits = True, handlers, _limits(line_bytes, field_bytes, headers)
    await runner.setup()
    assert runner.server is not None
    return runner, runner.server


def _limits(line_bytes: int, field_bytes: int, headers: int) -> dict[str, Any]:
    return {**_LIMITS, "max_line_size": line_bytes, "max_field_size": field_bytes, "max_headers": headers}


def _site(runner: web.AppRunner, place: Place) -> web.BaseSite:
    if isinstance(place, socket.socket):
        return _UnixSocketSite(runner, place) if place.family == socket.AF_UNIX else web.SockSite(runner, place)
    if isinstance(place, Path):
        return web.UnixSite(runner, place)
    host, port = place
    return web.TCPSite(runner, host, port)


class _UnixSocketSite(web.BaseSite):
    """aiohttp has none that every event loop takes."""

    def __init__(self, runner: web.AppRunner, sock: socket.socket) -> None:
        super().__init__(runner)
        self._sock = sock

    @property
    def name(self) -> str:
        return f"unix:{self._sock.getsockname()}"

    async def start(self) -> None:
        await super().start()
        # Others may listen there, so the end of this one leaves the file where it is.
        options: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
        server = self._runner.server
        assert server is not None
        self._server = await asyncio.get_running_loop().create_unix_server(server, sock=self._sock, **options)


class _Runner(web.AppRunner):
    limits: Mapping[str, Any] = _LIMITS
    most: int | None = None
    finishes = False
    handlers: Mapping[str, Handler] = {}

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        application = _expecting_nothing_unknown(server.request_handler)
        limited = _Server(
            _directly(self.handlers, application) if self.handlers else application,
            request_factory=server.request_factory,
            handler_cancellation=not self.finishes,
        )
        limited.limits, limited.most = self.limits, self.most
        return limited


_Answer = Callable[[Any], Awaitable[web.StreamResponse]]


def _expecting_nothing_unknown(application: _Answer) -> _Answer:
    """aiohttp answers an unknown `Expect` with what was sent, before any middleware."""

    async def handle(request: Any) -> web.StreamResponse:
        try:
            return await application(request)
        except web.HTTPExpectationFailed:
            return web.Response(status=417, headers=_HEADERS)

    return handle


def _directly(handlers: Mapping[str, Handler], application: _Answer) -> _Answer:
    """Return what calls a handler at once; the application finds out what to do at other paths."""

    async def handle(request: Any) -> web.StreamResponse:
        answer = handlers.get(request.rel_url.raw_path)
        return await (application if answer is None else answer)(request)

    return handle


class _Server(web.Server):
    limits: Mapping[str, Any]
    most: int | None = None

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=asyncio.get_running_loop(), **self.limits)


class _Connection(web.RequestHandler):
    """Ends by itself when there are too many, and when nobody takes its answer: for aiohttp both may last for ever."""

    __slots__ = ("_too_slow",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._too_slow: asyncio.TimerHandle | None = None
        super().connection_made(transport)
        server = self._manager
        if isinstance(server, _Server) and server.most is not None and len(server.connections) > server.most:
            self._end()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._forget_timer()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._too_slow = asyncio.get_running_loop().call_later(_READING_SECONDS, self._end)

    def resume_writing(self) -> None:
        self._forget_timer()
        super().resume_writing()

    def _forget_timer(self) -> None:
        if self._too_slow is not None:
            self._too_slow.cancel()
            self._too_slow = None

    def _end(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer without a word of the request; log only what is our fault."""
        if status >= 500:
            self.log_exception("Error handling a request", exc_info=exc)
        response = web.Response(status=status, headers=_HEADERS)
        response.force_close()
        return response
