"""Listeners of aiohttp applications: ops, the admin API, the gateway's own routes.

aiohttp by itself answers a request it cannot parse with the offending line, logs that line (it may hold a token)
and names its version; and it drops every limit when one keyword is misspelt. Both are closed here.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from gateway.ops.app import OPS_HEADERS

Address = tuple[str, int] | Path
"""Host and port, or the path of a Unix socket."""

_SHUTDOWN_SECONDS = 1.0

_LIMITS: dict[str, Any] = {
    # Also the time for the first request head. Longer than the usual scrape interval of 15 s, so that scrapers keep
    # their connection.
    "keepalive_timeout": 20.0,
    "lingering_time": 0,
    "access_log": None,
}


async def serve(
    app: web.Application,
    address: Address,
    *,
    line_bytes: int = 2048,
    field_bytes: int = 8192,
    headers: int = 64,
    finishes: bool = False,
) -> web.AppRunner:
    """Listen, and return the runner: `addresses` tells the port that was taken for port 0, `cleanup()` stops.

    Bounds: `line_bytes` of the request line, `field_bytes` of one header, and so many `headers`. `finishes`: what was
    begun for a client goes on when it leaves. Raises OSError.
    """
    runner = _Runner(app, shutdown_timeout=_SHUTDOWN_SECONDS)
    runner.finishes = finishes
    runner.limits = {**_LIMITS, "max_line_size": line_bytes, "max_field_size": field_bytes, "max_headers": headers}
    await runner.setup()
    try:
        await _site(runner, address).start()
    except OSError:
        await runner.cleanup()
        raise
    return runner


def _site(runner: web.AppRunner, address: Address) -> web.BaseSite:
    if isinstance(address, Path):
        return web.UnixSite(runner, address)
    host, port = address
    return web.TCPSite(runner, host, port)


class _Runner(web.AppRunner):
    limits: Mapping[str, Any] = _LIMITS
    finishes = False

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        limited = _Server(
            server.request_handler, request_factory=server.request_factory, handler_cancellation=not self.finishes
        )
        limited.limits = self.limits
        return limited


class _Server(web.Server):
    limits: Mapping[str, Any]

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=asyncio.get_running_loop(), **self.limits)


class _Connection(web.RequestHandler):
    __slots__ = ()

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
        response = web.Response(status=status, headers=OPS_HEADERS)
        response.force_close()
        return response
