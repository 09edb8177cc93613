"""What one worker wants to know of all of them."""

import asyncio
import os
import signal
from math import inf
from pathlib import Path

from gateway.workers.timing import Timing
from tests.workers.test_parent import PATIENCE, crew


async def test_a_worker_that_is_not_heard_of_is_not_waited_for(tmp_path: Path) -> None:
    async with crew(tmp_path, Timing()) as ship:
        await ship.parent.start()
        [worker] = ship.parent.workers
        assert worker is not None
        async with asyncio.timeout(PATIENCE):
            assert await worker.ask(1, b'["counters", {}]') == b"null"  # it has no admin API
            os.kill(worker.pid, signal.SIGSTOP)
            worker.heard_at = -inf
            assert await worker.ask(2, b'["counters", {}]') is None
        os.kill(worker.pid, signal.SIGCONT)
