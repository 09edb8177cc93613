"""Commands that ask a gateway print what the page shows: other numbers, in the same places."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.commands.asked import asked_gateway
from tests.pages.blocks import blocks
from tests.pages.typing_in import typed
from tests.ports import free_port
from tests.session_gateway import ADMIN_TOKEN, PASSWORD

ON_TERMINALS = "TIME (UTC)"
"""How a line begins that is printed only where there is a terminal."""
ROUTE = {
    "id": "api",
    "match": {"path": "/api/**"},
    "upstream": "app",
    "authenticators": ["own"],
    "require": [{"scopes": ["orders:read"]}],
}


def shown() -> Iterator[tuple[str, list[str]]]:
    """Yield each command of the page, with what it prints."""
    for block in blocks("docs/cli.md", "console"):
        for part in block.text.removeprefix("$ ").split("\n$ "):
            first, *lines = part.rstrip("\n").splitlines()
            yield first, lines


def words(line: str) -> list[str]:
    """Return the words of a line that are no numbers, times, units or names which differ each time."""
    found = re.sub(r"\S*\d\S*( (?:%|us|ms|s|h|hours?|seconds?|minutes?|B/s|KiB/s|MiB|KiB|B)(?= |$))?", " ", line)
    return re.findall(r"[^\s|()]+", re.sub(r"\w+://\S+", " ", found))


@asynccontextmanager
async def busy(at: Path, address: str) -> AsyncIterator[str]:
    """Run a gateway whose clients never rest; give the id of a request that it refused."""
    (at / "admin.token").write_text(ADMIN_TOKEN)
    async with asked_gateway(at, address, routes=[ROUTE]) as gateway, aiohttp.ClientSession() as http:

        async def ask(path: str, data: dict[str, str] | None = None, **headers: str) -> aiohttp.ClientResponse:
            headers |= {"Host": "api.example", "User-Agent": "curl/8.5.0"}
            method = "POST" if data else "GET"
            async with http.request(method, gateway.url + path, data=data, headers=headers) as answer:
                await answer.read()
                return answer

        async def go_on() -> None:
            while True:
                await ask("/none")
                await ask("/api/orders", Authorization="Bearer junk")
                await ask("/api/orders")
                login = {"username": "alice", "password": PASSWORD, "device": "Firefox on Linux"}
                pair = await (await ask("/auth/login", login)).json()
                fields = {"grant_type": "refresh_token", "refresh_token": pair["refresh_token"], "client_id": "web"}
                await ask("/oauth/token", fields)
                await asyncio.sleep(0.1)

        clients = asyncio.create_task(go_on())
        try:
            yield (await ask("/api/orders")).headers["X-Request-ID"]
        finally:
            clients.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await clients


@pytest.mark.parametrize("line", [line for line, _ in shown()])
async def test_a_command_prints_what_the_page_shows(line: str, tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    (tmp_path / "config.yaml").write_text(f"admin: {{address: '{address}'}}")  # of a gateway that does not run
    async with contextlib.AsyncExitStack() as stack:
        request_id = "" if line == "gateway top" else await stack.enter_async_context(busy(tmp_path, address))
        asked = re.sub(r"(--request-id) \S+", rf"\1 {request_id}", line.replace("127.0.0.1:9091", address))
        ends = " --once" if "--outcome" in asked else ""
        said = await asyncio.to_thread(typed, [f"{asked}{ends} 2>&1 || [ $? = 1 ]"], tmp_path)
    printed = [set(words(each)) for each in said.splitlines()]
    expected = [each for each in dict(shown())[line] if not each.startswith(ON_TERMINALS)]
    expected = [each.replace("workers 2 ready", "one process") for each in expected]
    missing = [each for each in expected if not any(set(words(each)) <= found for found in printed)]
    assert missing == [], said


def test_words_are_what_stays() -> None:
    assert words("added       p50  750 us   p90  2.1 ms") == ["added"]
    assert words("10:41:33.195  401     missing_credentials  api") == ["missing_credentials", "api"]
