"""One `/metrics` for all workers."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count

from prometheus_client import ProcessCollector

from gateway.telemetry.merging import Ledger, Numbers, numbers_of
from gateway.telemetry.metrics import Scrape

PATIENCE = 2.0
"""Seconds that workers have to tell their numbers: less than a scrape may take. Of those that do not, the last that was
heard counts."""


class FleetMetrics:
    """Answers like `telemetry.metrics.Metrics`, when the workers have been asked."""

    def __init__(
        self,
        ledger: Ledger,
        own: Callable[[], Numbers],
        ask: Callable[[int], Awaitable[None]],
        patience: float = PATIENCE,
    ) -> None:
        self._ledger = ledger
        self._own = own
        self._ask = ask
        self._patience = patience
        self._questions = count()
        self._process = ProcessCollector(registry=None)

    async def scrape(self) -> Scrape:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience):
                await self._ask(1 + next(self._questions) % 0xFFFF)
        own = self._own()
        own.readings.update(numbers_of(Scrape({}, {}, self._process)).readings)
        return self._ledger.merged(own)
