"""Work that is finished once it has begun, also when whoever waits for it goes away.

A client that hangs up in the middle of its logout is logged out, and of a theft that was found the alarm is raised.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_under_way: set[asyncio.Task[Any]] = set()
"""The event loop itself keeps no task alive."""


def finished(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Return the method as one that runs to its end, even if its caller is cancelled."""

    @wraps(method)
    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        task = asyncio.get_running_loop().create_task(method(*args, **kwargs))
        _under_way.add(task)
        task.add_done_callback(_end)
        return await asyncio.shield(task)

    return call


def _end(task: asyncio.Task[Any]) -> None:
    _under_way.discard(task)
    if not task.cancelled():
        task.exception()  # nobody may be left to hear of it
