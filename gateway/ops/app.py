"""Metrics and health over HTTP: GET and HEAD on four paths, nothing else."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Protocol

from aiohttp import web

from gateway.telemetry.health import Report
from gateway.telemetry.metrics import Metrics, Scrape


class Probed(Protocol):
    """Answers probes: `Health`, or what speaks for several processes."""

    def live(self) -> Report: ...
    def ready(self) -> Report: ...
    def started(self) -> Report: ...


def ops_application(metrics: Metrics | Callable[[], Awaitable[Scrape]], health: Probed) -> web.Application:
    """Return the application of the ops port. Metrics that are not of this process have to be asked for.

    It asks nobody who they are: bind it where only operators and probes can reach it.
    """

    async def show_metrics(request: web.Request) -> web.Response:
        # In a thread: with a thousand routes the text takes longer to write than a request may wait.
        scrape = metrics.scrape() if isinstance(metrics, Metrics) else await metrics()
        body, content_type = await asyncio.to_thread(scrape.render, request.headers.get("Accept"))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def show_live(_: web.Request) -> web.Response:
        return _answer(health.live())

    async def show_ready(_: web.Request) -> web.Response:
        return _answer(health.ready())

    async def show_started(_: web.Request) -> web.Response:
        return _answer(health.started())

    app = web.Application()
    app.on_response_prepare.append(_set_headers)
    app.add_routes(
        [
            web.get("/metrics", show_metrics),
            web.get("/healthz", show_live),
            web.get("/readyz", show_ready),
            web.get("/startupz", show_started),
        ]
    )
    return app


def _answer(report: Report) -> web.Response:
    status, word = (200, "ok") if report.is_ok else (503, "not ready")
    body = json.dumps({"status": word, "blocked_by": report.blocked_by}) + "\n"
    return web.Response(text=body, content_type="application/json", status=status)


async def _set_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(OPS_HEADERS)


OPS_HEADERS = {"Cache-Control": "no-store", "Server": "gateway"}
"""`Server` is set because aiohttp would else name itself and its version."""
