"""The presets of the five source texts, running; and what their tests ask of them."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.state.redis_servers import RedisServer, shared, wipe
from tests.trips.session_running import (
    PASSWORD,
    SessionGateway,
    preset,
    serving,
)
from tests.trips.wire import Message

SEEDS = ("seed0", "seed1", "seed2", "seed3", "seed4")
ALGORITHMS = {"seed1": "HS256"}
"""The preset itself says which key its text means; EdDSA for the others."""
DAY = 86400
PAGE = "Origin: https://app.example"


@asynccontextmanager
async def seed(number: int, directory: Path, **more: Any) -> AsyncIterator[SessionGateway]:
    """Run the preset of a text, with a backend to log in at where it wants one."""
    name = f"seed{number}"
    async with AsyncExitStack() as stack:
        if number == 2:
            backend = await stack.enter_async_context(Backend().running())
            more |= {"LOGIN_URL": f"{backend.url}/login", "SIGNUP_URL": f"{backend.url}/users"}
        more.setdefault("algorithm", ALGORITHMS.get(name, "EdDSA"))
        yield await stack.enter_async_context(serving(directory, preset(name), **more))


class Backend:
    """An application that has users of its own, and endpoints for logging in and signing up."""

    def __init__(self) -> None:
        self.users = {"alice": (PASSWORD, 17)}
        self.url = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Backend"]:
        app = web.Application()
        app.router.add_post("/login", self._login)
        app.router.add_post("/users", self._sign_up)
        async with TestServer(app) as server:
            self.url = str(server.make_url("")).rstrip("/")
            yield self

    async def _login(self, request: web.Request) -> web.Response:
        body = await request.json()
        password, number = self.users.get(body["username"], ("", 0))
        if password != body["password"]:
            return web.json_response({"error": "wrong"}, status=401)
        return _user(body["username"], number)

    async def _sign_up(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body["username"] in self.users:
            return web.json_response({"error": "taken"}, status=409)
        self.users[body["username"]] = body["password"], 18
        return _user(body["username"], 18, status=201)


def _user(name: str, number: int, status: int = 200) -> web.Response:
    email = f"{name}@example.com"
    return web.json_response({"user": {"id": number, "name": name, "email": email}}, status=status)


def access_cookie(token: str) -> str:
    return f"Cookie: __Host-access={token}"


def is_challenged(answer: Message) -> bool:
    """Say whether an answer is a 401 that tells a client to come with another token (RFC 6750 §3)."""
    return answer.status == 401 and 'error="invalid_token"' in (answer.one("WWW-Authenticate") or "")


def empty_redis() -> tuple[str, RedisServer]:
    """Return the URL of a Redis that holds nothing, and the server."""
    url, servers = shared("redis")
    wipe(servers)
    return url, servers[0]


async def is_refused_soon(gate: SessionGateway, access_token: str) -> None:
    """Wait until a revocation that was made elsewhere, or for later, has come into effect."""
    async with asyncio.timeout(5):
        while not is_challenged(await gate.api(access_token)):
            await asyncio.sleep(0.02)


def delete_record(file: Path, sid: str | None = None) -> None:
    """Delete one session with SQL, or all."""
    with sqlite3.connect(file) as connection:
        done = connection.execute("DELETE FROM sessions WHERE sid = coalesce(?, sid)", (sid,))
        assert done.rowcount == 1
    connection.close()


def flipped(text: str, index: int) -> str:
    return text[:index] + ("A" if text[index] != "A" else "B") + text[index + 1 :]
