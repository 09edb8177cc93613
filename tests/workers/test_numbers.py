"""The numbers of all workers, while one of them has none to tell."""

import asyncio
import os
import signal
from pathlib import Path

from gateway.workers.timing import Timing
from tests.workers.test_parent import PATIENCE, crew


async def test_nobody_waits_for_the_numbers_of_a_worker_that_still_starts(tmp_path: Path) -> None:
    async with crew(tmp_path, Timing()) as ship:
        starting = asyncio.create_task(ship.parent.start())
        async with asyncio.timeout(PATIENCE):
            while ship.parent.workers[0] is None:
                await asyncio.sleep(0.001)
        os.kill(ship.pid, signal.SIGSTOP)
        try:
            async with asyncio.timeout(PATIENCE):
                await ship.parent.ask_all(1)
        finally:
            os.kill(ship.pid, signal.SIGCONT)
        await starting
