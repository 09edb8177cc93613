"""What a call says: its body, its parameters."""

import asyncio

from aiohttp import web

from gateway.model.errors import MalformedGrantRequest, SlowRequest

BODY_BYTES = 64 * 1024
_BODY_SECONDS = 10.0


def device_of(request: web.Request) -> str | None:
    """Return the device that is asked for. Raises MalformedGrantRequest: a misspelt word would end too much."""
    if [name for name, _ in request.query.items()] not in ([], ["device"]):
        raise MalformedGrantRequest("device is the only parameter, and comes once")
    return request.query.get("device")


async def body_of(request: web.Request) -> bytes:
    """Return the body, in time: for one with a broken chunk aiohttp would wait for ever."""
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            return await request.read()
    except TimeoutError as error:
        raise SlowRequest(f"no whole body within {_BODY_SECONDS:g} s") from error
