"""Metrics and health over HTTP: GET and HEAD on four paths, nothing else."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Protocol

from gateway.ops.pages import Page, Sheet
from gateway.telemetry.health import Report
from gateway.telemetry.metrics import Metrics, Scrape


class Probed(Protocol):
    """Answers probes: `Health`, or what speaks for several processes."""

    def live(self) -> Report: ...
    def ready(self) -> Report: ...
    def started(self) -> Report: ...


def ops_pages(metrics: Metrics | Callable[[], Awaitable[Scrape]], health: Probed) -> dict[str, Page]:
    """Return the pages of the ops port by path. Metrics that are not of this process have to be asked for.

    They ask nobody who they are: bind them where only operators and probes can reach them.
    """

    async def show_metrics(accept: str) -> Sheet:
        # In a thread: with a thousand routes the text takes longer to write than a request may wait.
        scrape = metrics.scrape() if isinstance(metrics, Metrics) else await metrics()
        body, content_type = await asyncio.to_thread(scrape.render, accept or None)
        return Sheet(200, body, content_type)

    async def show_live(_: str) -> Sheet:
        return _answer(health.live())

    async def show_ready(_: str) -> Sheet:
        return _answer(health.ready())

    async def show_started(_: str) -> Sheet:
        return _answer(health.started())

    return {"/metrics": show_metrics, "/healthz": show_live, "/readyz": show_ready, "/startupz": show_started}


def _answer(report: Report) -> Sheet:
    status, word = (200, "ok") if report.is_ok else (503, "not ready")
    body = json.dumps({"status": word, "blocked_by": report.blocked_by}) + "\n"
    return Sheet(status, body.encode(), "application/json; charset=utf-8")
