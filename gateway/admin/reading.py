"""What a call says: its body, its parameters."""

import asyncio
import math
from collections.abc import Mapping
from typing import Self, TypeVar

from aiohttp import web

from gateway.model.errors import MalformedGrantRequest, SlowRequest

T = TypeVar("T")

BODY_BYTES = 64 * 1024
_BODY_SECONDS = 10.0


class Parameters:
    """The parameters of a query. Every method raises MalformedGrantRequest: nothing that is misspelt is ignored."""

    def __init__(self, request: web.Request) -> None:
        self._query = request.query

    def only(self, *names: str) -> Self:
        """Refuse any other, and what comes twice."""
        came = [name for name, _ in self._query.items()]
        if set(came) - set(names) or len(set(came)) < len(came):
            known = f"; there are {', '.join(names)}" if names else ""
            raise MalformedGrantRequest(f"an unknown parameter, or one that comes twice{known}")
        return self

    def optional(self, name: str) -> str | None:
        return self._query.get(name)

    def text(self, name: str, default: str) -> str:
        return self._query.get(name, default)

    def choice(self, name: str, choices: Mapping[str, T]) -> T | None:
        if (value := self._query.get(name)) is None:
            return None
        if value not in choices:
            raise MalformedGrantRequest(f"{name} is one of {', '.join(choices)}")
        return choices[value]

    def number(self, name: str, default: int, least: int = 0, most: int = 1_000_000) -> int:
        value = self._query.get(name, str(default))
        if not (value.isascii() and value.isdecimal() and len(value) < 10 and least <= int(value) <= most):
            raise MalformedGrantRequest(f"{name} is a number from {least} to {most}")
        return int(value)

    def seconds(self, name: str, default: float) -> float:
        try:
            value = float(self._query.get(name, default))
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value >= 0):
            raise MalformedGrantRequest(f"{name} is a time in Unix seconds")
        return value


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
