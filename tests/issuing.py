"""An issuer that publishes its keys on loopback, for tests."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.minting import SigningKey, jwks


class Clock:
    """A clock that a test sets."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Issuer:
    """Answers `/jwks` with `document`, the discovery path with `metadata`; `status` other than 200 is an outage.

    `requests` are the paths asked for. While `gate` is not set, answers wait.
    """

    def __init__(self, *keys: SigningKey) -> None:
        self.document = jwks(*keys)
        self.metadata: dict[str, Any] = {}
        self.status = 200
        self.requests: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.url = ""

    def publish(self, *keys: SigningKey) -> None:
        self.document = jwks(*keys)

    @property
    def jwks_uri(self) -> str:
        return f"{self.url}/jwks"

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Issuer"]:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        async with TestServer(app) as server:
            self.url = str(server.make_url("")).rstrip("/")
            self.metadata = {"issuer": self.url, "jwks_uri": self.jwks_uri}
            yield self

    async def _answer(self, request: web.Request) -> web.Response:
        self.requests.append(request.path)
        await self.gate.wait()
        if request.path == "/jwks":
            body = self.document
        elif request.path.endswith("/.well-known/openid-configuration"):
            body = json.dumps(self.metadata).encode()
        else:
            raise web.HTTPNotFound
        return web.Response(body=body, status=self.status, content_type="application/json")
