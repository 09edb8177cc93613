"""Signals of a process that serves, and of one that does not yet."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from gateway.proxy.draining import Haste
from gateway.workers.signals import stopped_by_signals

ROOT = Path(__file__).parents[2]


async def test_a_worker_whose_parent_is_told_too_is_in_no_hurry() -> None:
    haste = Haste()
    stop = stopped_by_signals(haste)
    stop.set()  # the parent was told first: systemd tells every process of a service
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.wait_for(haste.skip_delay.wait(), 10)
    assert not haste.end.is_set()
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(haste.end.wait(), 10)


_HELD_BACK = """
import os, signal
from gateway.workers.holding import held_back, let_through

heard = []
with held_back():
    os.kill(os.getpid(), signal.SIGHUP)
    signal.signal(signal.SIGHUP, lambda number, _: heard.append(number))
    assert heard == []
    let_through()
    assert heard == [signal.SIGHUP]
with held_back():
    os.kill(os.getpid(), signal.SIGHUP)
assert heard == [signal.SIGHUP]  # it did not start
"""


def test_a_reload_that_is_asked_for_during_the_start_happens_after_it() -> None:
    """In a process of its own: the threads of this one hold nothing back."""
    done = subprocess.run([sys.executable, "-c", _HELD_BACK], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
