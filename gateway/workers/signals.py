"""What the signals that stop a process ask for."""

import asyncio
import signal

from gateway.proxy.draining import Haste


def stopped_by_signals(haste: Haste) -> asyncio.Event:
    """Return an event that is set by SIGTERM or SIGINT. SIGINT (Ctrl-C) also skips the delay; a second signal ends what
    is under way."""
    stop, told_once = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def told(number: signal.Signals) -> None:
        if told_once.is_set():  # not `stop`, which the parent of a worker also sets: whoever tells all tells once
            haste.end.set()
        told_once.set()
        if number == signal.SIGINT:
            haste.skip_delay.set()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told, number)
    return stop
