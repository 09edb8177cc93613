"""Stopping without losing a request: in steps, each of them bounded.

1. For `timeouts.drain_delay` nothing changes but readiness: whoever sends us requests learns to send them elsewhere.
2. What waits in the queues of the listening sockets is taken, and they are closed.
3. Idle connections close when they have been silent for a moment: a client that is just sending is still answered.
   Each answer is the last one of its connection.
4. After `timeouts.drain_streams` upgraded connections and streams of events end: they have no end of their own.
5. After `timeouts.drain` the rest is cut.
"""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, Final

from gateway.proxy.listener import Listeners
from gateway.proxy.plane import DataPlane

_LAST_WORDS: Final = 0.5
"""Seconds to hand over what those are told that are cut."""


class Haste:
    """How much time there is, as those see it who told the process to stop. May be set before the drain begins."""

    def __init__(self) -> None:
        self.skip_delay = asyncio.Event()
        """Begin at once: somebody is watching."""
        self.end = asyncio.Event()
        """Cut what is left: somebody has lost patience."""
        self.closed = asyncio.Event()
        """Set by the drain when no more connections are taken."""


async def drain(plane: DataPlane, listeners: Listeners, haste: Haste) -> int:
    """Take no more connections, let requests under way finish, and return how many connections had to be cut."""
    timeouts = plane.timeouts
    if timeouts.drain_delay:
        await _first(timeouts.drain_delay, haste.skip_delay.wait(), haste.end.wait())
    plane.is_draining = True
    begun = plane.loop.time()
    await listeners.close()
    haste.closed.set()
    for connection in list(plane.connections):
        connection.drain()
    for seconds in (min(timeouts.drain_streams, timeouts.drain), timeouts.drain):
        left = begun + seconds - plane.loop.time()
        await _first(left, _all_gone(plane, listeners), haste.end.wait())
        plane.rounds.work()  # what was said before is passed on
        for connection in list(plane.connections):
            connection.end_stream()
    cut = await _cut(plane)
    plane.close_pools()
    return cut


async def _all_gone(plane: DataPlane, listeners: Listeners) -> None:
    await listeners.welcomed()
    await plane.empty.wait()


async def _cut(plane: DataPlane) -> int:
    left = list(plane.connections)
    for connection in left:
        connection.shut_down()
    if left:
        await _first(_LAST_WORDS, plane.empty.wait())
    for connection in list(plane.connections):
        connection.abort()
    return len(left)


async def _first(seconds: float, *waits: Coroutine[Any, Any, object]) -> None:
    """Wait for the first of several things, and not longer than so many seconds."""
    tasks = [asyncio.create_task(each) for each in waits]
    try:
        await asyncio.wait(tasks, timeout=max(0, seconds), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
