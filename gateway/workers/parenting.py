"""Runs the parent: its signals and its ops address."""

import asyncio
import logging
import signal
import socket

from gateway import __version__
from gateway.ops.app import ops_pages
from gateway.ops.pages import PageServer
from gateway.telemetry.log import Log
from gateway.workers.holding import let_through
from gateway.workers.parent import FirstWorkerFailed, Parent
from gateway.workers.plan import LogStyle, Plan


def run_parent(plan: Plan) -> int:
    """Run until told to stop. The exit status is that of `gateway serve`. Raises OSError when no worker can be started,
    for want of files, processes or memory."""
    try:
        asyncio.run(_run(plan))
    except FirstWorkerFailed as error:
        return error.status if error.status > 0 else 1
    return 0


async def _run(plan: Plan) -> None:
    log = Log(LogStyle(plan.log_format, plan.log_level), is_shared=True)
    for library in ("aiohttp", "asyncio"):
        logging.getLogger(library).addHandler(log.handler)
    log.write_in_thread()
    parent = Parent(plan, log, __version__)
    stop = _Stop(parent)
    runners = [
        await PageServer.listening(ops_pages(parent.metrics.scrape, parent.health), socket.socket(fileno=descriptor))
        for descriptor in plan.ops.values()
    ]
    for address in plan.ops:
        log.info("ops_listening", address=address)
    starting, asked = asyncio.create_task(parent.start()), asyncio.create_task(stop.asked.wait())
    try:
        await asyncio.wait((starting, asked), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            await asked
    finally:
        starting.cancel()
        asked.cancel()
        await parent.stop(skip_delay=stop.skips_delay)
        for runner in runners:
            await runner.cleanup()
        log.close()


class _Stop:
    """Takes the signals."""

    def __init__(self, parent: Parent) -> None:
        self.asked = asyncio.Event()
        self.skips_delay = False
        self._parent = parent
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told, number)
        loop.add_signal_handler(signal.SIGHUP, parent.reload)
        loop.add_signal_handler(signal.SIGUSR2, parent.roll)
        let_through()

    def _told(self, number: signal.Signals) -> None:
        if self.asked.is_set():
            self._parent.hurry()
        self.skips_delay = self.skips_delay or number == signal.SIGINT
        self.asked.set()
