"""What tests ask of gateways, and what they see in the answers."""

import asyncio
import json
from base64 import urlsafe_b64decode
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

from tests.clients.processes import ADMIN_TOKEN, BACKEND, PATIENCE, GatewayProcess

Tokens = dict[str, Any]
Answer = tuple[int, dict[str, Any]]


def client(*, keeps_connections: bool = False) -> aiohttp.ClientSession:
    """Return a client. Where gateways die it makes a connection for each request."""
    connector = aiohttp.TCPConnector(limit=20) if keeps_connections else aiohttp.TCPConnector(force_close=True, limit=0)
    return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=PATIENCE))


async def answer_of(response: aiohttp.ClientResponse) -> Answer:
    text = await response.text()
    return response.status, json.loads(text) if text else {}


async def exchange(http: aiohttp.ClientSession, gateway: GatewayProcess, refresh_token: str) -> Answer:
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": "web"}
    async with http.post(f"{gateway.url}/oauth/token", data=form) as response:
        return await answer_of(response)


async def exchanged(http: aiohttp.ClientSession, gateway: GatewayProcess, refresh_token: str) -> Tokens:
    status, tokens = await exchange(http, gateway, refresh_token)
    assert status == 200, tokens
    return tokens


async def is_refused(http: aiohttp.ClientSession, gateway: GatewayProcess, refresh_token: str) -> bool:
    status, body = await exchange(http, gateway, refresh_token)
    return (status, body.get("error")) == (400, "invalid_grant")


async def status_of(http: aiohttp.ClientSession, gateway: GatewayProcess, tokens: Tokens, path: str = "/api/x") -> int:
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    async with http.get(gateway.url + path, headers=headers) as response:
        return response.status


async def log_out(http: aiohttp.ClientSession, gateway: GatewayProcess, tokens: Tokens) -> int:
    async with http.post(f"{gateway.url}/auth/logout", json={"refresh_token": tokens["refresh_token"]}) as response:
        return response.status


async def sessions_of(http: aiohttp.ClientSession, gateway: GatewayProcess, subject: str) -> list[dict[str, Any]]:
    url = f"{gateway.admin_url}/admin/api/v1/subjects/{subject}/sessions"
    async with http.get(url, headers={"Authorization": f"Bearer {ADMIN_TOKEN}"}) as response:
        listed: list[dict[str, Any]] = (await response.json())["sessions"]
        return listed


async def generations_of(http: aiohttp.ClientSession, gateway: GatewayProcess, subject: str) -> list[int]:
    return [each["generation"] for each in await sessions_of(http, gateway, subject)]


async def end_subject(http: aiohttp.ClientSession, gateway: GatewayProcess, subject: str) -> int:
    url = f"{gateway.admin_url}/admin/api/v1/subjects/{subject}/sessions"
    async with http.delete(url, headers={"Authorization": f"Bearer {ADMIN_TOKEN}"}) as response:
        return int((await response.json())["ended"])


async def eventually(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something holds, for as long as a busy machine may need."""
    async with asyncio.timeout(PATIENCE):
        while not await is_so():
            await asyncio.sleep(0.05)


async def becomes(
    http: aiohttp.ClientSession, gateway: GatewayProcess, tokens: Tokens, status: int, path: str = "/api/x"
) -> None:
    async def is_so() -> bool:
        return await status_of(http, gateway, tokens, path) == status

    await eventually(is_so)


def claims_of(tokens: Tokens) -> dict[str, Any]:
    payload = tokens["access_token"].split(".")[1]
    claims: dict[str, Any] = json.loads(urlsafe_b64decode(payload + "==="))
    return claims


def kid_of(tokens: Tokens) -> str:
    return str(json.loads(urlsafe_b64decode(tokens["access_token"].split(".")[0] + "==="))["kid"])


def pairs_of(answers: list[Tokens]) -> set[tuple[str, str]]:
    return {(each["access_token"], each["refresh_token"]) for each in answers}


def exchanges(*gateways: GatewayProcess) -> tuple[float, float]:
    """Return how many exchanges rotated, and how many were repeated."""
    name = "gateway_exchanges_total"
    rotated = sum(each.metric(name, result="rotated") for each in gateways)
    return rotated, sum(each.metric(name, result="repeated") for each in gateways)


async def open_crowd(http: aiohttp.ClientSession, gateway: GatewayProcess, size: int) -> list[Tokens]:
    """Open sessions, a hundred for each user."""
    headers = {"Authorization": BACKEND}

    async def one(number: int) -> Tokens:
        body = {"sub": f"user{number // 100}", "client_id": "web"}
        async with http.post(f"{gateway.url}/auth/sessions", json=body, headers=headers) as response:
            status, tokens = await answer_of(response)
            assert status == 201, tokens
            return tokens

    return await asyncio.gather(*(one(number) for number in range(size)))
