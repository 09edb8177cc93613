"""What became of the spans of this process: counted, and told when the receiver does not take them."""

import asyncio
from collections import Counter
from collections.abc import Iterable

from gateway.telemetry.log import Log
from gateway.telemetry.metrics import Reading

_LOOK_EVERY = 1.0


class SpanTally:
    """One per process. `results` is counted up by the threads that send."""

    def __init__(self) -> None:
        self.results = Counter(exported=0, failed=0, dropped=0)

    def counts(self) -> Iterable[Reading]:
        """Read `gateway_spans_total`."""
        return [((name,), number) for name, number in self.results.items()]

    async def keep_telling(self, log: Log) -> None:
        """Tell when spans are lost, once for a row of failures, and when they are taken again; for ever."""
        lost = taken = 0
        is_failing = False
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            lost, lost_before = self.results["failed"] + self.results["dropped"], lost
            taken, taken_before = self.results["exported"], taken
            if lost > lost_before and not is_failing:
                is_failing = True
                log.warning("traces_failed", lost=lost - lost_before)
            elif is_failing and taken > taken_before and lost == lost_before:
                is_failing = False
                log.info("traces_restored", lost=lost)
