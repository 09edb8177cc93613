from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from pytest_aiohttp.plugin import AiohttpClient

from tests.endpoints.running import Running, sessions

Start = Callable[..., Awaitable[Running]]


@pytest.fixture
async def start(aiohttp_client: AiohttpClient, tmp_path: Path) -> AsyncIterator[Start]:
    """Start the endpoints with changed settings."""
    async with AsyncExitStack() as stack:

        async def start(**changes: Any) -> Running:
            running = Running(sessions(**changes), tmp_path)
            await running.open_store()
            stack.push_async_callback(running.close)
            running.http = await aiohttp_client(running.app)
            return running

        yield start


@pytest.fixture
async def running(start: Start) -> Running:
    return await start()
