"""Work that is finished once it has begun, also when whoever waits for it goes away.

A client that hangs up in the middle of its logout is logged out, and of a theft that was found the alarm is raised.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar


class Finishing(Protocol):
    under_way: set[asyncio.Task[Any]]
    """What was begun: the event loop itself keeps no task alive."""


S = TypeVar("S", bound=Finishing)
P = ParamSpec("P")
T = TypeVar("T")


def finished(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
    """Return the method as one that runs to its end, even if its caller is cancelled."""

    @wraps(method)
    async def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        task = asyncio.get_running_loop().create_task(method(self, *args, **kwargs))
        self.under_way.add(task)
        task.add_done_callback(self.under_way.discard)
        task.add_done_callback(_hear)
        return await asyncio.shield(task)

    return call


def _hear(task: asyncio.Task[Any]) -> None:
    """Take the outcome: nobody else may be left to hear of it."""
    if not task.cancelled():
        task.exception()
