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
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[T] = loop.create_future()  # who waits may cancel this, and nothing else
        task = loop.create_task(method(self, *args, **kwargs))
        under_way = self.under_way
        under_way.add(task)

        def tell(task: asyncio.Task[T]) -> None:
            """Take the outcome in any case: nobody else may be left to hear of it."""
            under_way.discard(task)
            if task.cancelled():
                outcome.cancel()
            elif (error := task.exception()) is None:
                if not outcome.done():
                    outcome.set_result(task.result())
            elif not outcome.done():
                outcome.set_exception(error)

        task.add_done_callback(tell)
        return await outcome

    return call
