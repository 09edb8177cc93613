"""Threads for what takes long, so many at once, and no more waiting than stated."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from gateway.model.errors import LoginSaturated

P = ParamSpec("P")
R = TypeVar("R")


class BoundedThreads:
    """A place is taken until the work is done: a caller that gives up does not free it, since threads go on."""

    def __init__(self, parallel: int, waiting: int, name: str) -> None:
        self._executor = ThreadPoolExecutor(parallel, thread_name_prefix=name)
        self._places = threading.BoundedSemaphore(parallel + waiting)

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Return what `work` returns. Raises LoginSaturated when every place is taken."""
        if not self._places.acquire(blocking=False):
            raise LoginSaturated("too many passwords are being checked")
        try:
            future = self._executor.submit(work, *args, **kwargs)
        except RuntimeError as error:  # closed
            self._places.release()
            raise LoginSaturated("no more passwords are checked here") from error
        future.add_done_callback(lambda _: self._places.release())
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)
