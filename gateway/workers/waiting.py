"""Waits for several things at once."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any


async def any_of(*waits: Coroutine[Any, Any, Any]) -> None:
    """Wait for the first of several things."""
    tasks = [asyncio.create_task(each) for each in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def all_of(waits: Iterable[Coroutine[Any, Any, Any]]) -> None:
    await asyncio.gather(*waits)
