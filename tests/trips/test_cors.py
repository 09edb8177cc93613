"""Browsers: preflights, and refusals that the page which asked may read."""

from pathlib import Path

import pytest

from tests.trips.running import get, request, running, token
from tests.trips.wire import Message, answering, ask, upstream

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])
"""The judgement is the same on every event loop."""

CORS = 'cors: {origins: ["https://app.example"], credentials: true, expose: [X-Total]}\n'
APP = "Origin: https://app.example"
EVIL = "Origin: https://evil.example"
PREFLIGHT = ("Access-Control-Request-Method: GET", "Access-Control-Request-Headers: authorization")


def names(answer: Message, header: str) -> set[str]:
    return {name.strip() for value in answer.all(header) for name in value.split(",")}


async def test_a_preflight_is_answered_without_a_token(tmp_path: Path) -> None:
    """C22"""
    async with upstream() as app, running(tmp_path, CORS, app.url) as gateway:
        answer = await ask(gateway.port, request("OPTIONS", "/api/orders", APP, *PREFLIGHT))
        assert (answer.status, answer.body) == (204, b"")
        assert answer.one("Access-Control-Allow-Origin") == "https://app.example"
        assert answer.one("Access-Control-Allow-Credentials") == "true"
        assert names(answer, "Access-Control-Allow-Methods") == {"GET"}
        assert "Authorization" in names(answer, "Access-Control-Allow-Headers")
        assert "Origin" in names(answer, "Vary")
        assert app.connections == 0
        assert gateway.decisions("orders") == {"preflight": 1}


async def test_a_preflight_of_a_stranger_is_refused(tmp_path: Path) -> None:
    async with upstream() as app, running(tmp_path, CORS, app.url) as gateway:
        answer = await ask(gateway.port, request("OPTIONS", "/api/orders", EVIL, *PREFLIGHT))
        assert answer.status == 403
        assert answer.all("Access-Control-Allow-Origin") == []
        assert app.connections == 0


async def test_preflights_may_pass_to_the_upstream_without_a_token(tmp_path: Path) -> None:
    text = 'cors: {origins: ["https://app.example"], preflight: pass}'
    script = answering(b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 0\r\n\r\n")
    async with upstream(script) as app, running(tmp_path, text, app.url) as gateway:
        answer = await ask(gateway.port, request("OPTIONS", "/api/x", APP, *PREFLIGHT, bearer="junk"))
        assert (answer.status, answer.all("Access-Control-Allow-Origin")) == (200, ["*"])
        [seen] = app.requests
        assert seen.line == "OPTIONS /api/x HTTP/1.1"
        assert seen.all("X-User-Id") == seen.all("Authorization") == []


async def test_options_that_are_no_preflight_need_a_token(tmp_path: Path) -> None:
    async with upstream() as app, running(tmp_path, CORS, app.url) as gateway:
        assert (await ask(gateway.port, request("OPTIONS", "/api/x", APP))).status == 401
        assert (await ask(gateway.port, request("OPTIONS", "/api/x", *PREFLIGHT))).status == 401
        assert app.connections == 0


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (get("/api/x", APP), 401),
        (get("/api/x", APP, bearer="junk"), 401),
        (get("/api/x", APP, bearer="a b"), 400),
        (get("/api/orders", APP, bearer=token(scope="none")), 403),
        (get("/nowhere", APP), 404),
    ],
)
async def test_an_allowed_page_may_read_a_refusal(tmp_path: Path, data: bytes, status: int) -> None:
    """C21"""
    async with upstream() as app, running(tmp_path, CORS, app.url) as gateway:
        answer = await ask(gateway.port, data)
        assert answer.status == status
        assert answer.one("Access-Control-Allow-Origin") == "https://app.example"
        assert answer.one("Access-Control-Allow-Credentials") == "true"
        exposed = names(answer, "Access-Control-Expose-Headers")
        assert exposed >= {"WWW-Authenticate", "Retry-After", "X-Request-ID", "X-Total"}
        assert "Origin" in names(answer, "Vary")
        assert app.connections == 0


@pytest.mark.parametrize(
    "origin", [EVIL, "Origin: null", "Origin: https://app.example.evil", "Origin: http://app.example"]
)
async def test_other_pages_may_not_read_a_refusal(tmp_path: Path, origin: str) -> None:
    async with upstream() as app, running(tmp_path, CORS, app.url) as gateway:
        answer = await ask(gateway.port, get("/api/x", origin))
        assert answer.status == 401
        assert answer.all("Access-Control-Allow-Origin") == []
        assert answer.all("Access-Control-Allow-Credentials") == []
        assert "Origin" in names(answer, "Vary")


async def test_a_bad_gateway_is_readable_too(tmp_path: Path) -> None:
    async with running(tmp_path, CORS) as gateway:
        answer = await ask(gateway.port, get("/open/x", APP))
        assert (answer.status, answer.one("Access-Control-Allow-Origin")) == (502, "https://app.example")


async def test_the_upstreams_answers_are_marked_and_its_own_marks_dropped(tmp_path: Path) -> None:
    script = answering(
        b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\naccess-control-allow-methods: PUT\r\n"
        b"Vary: Accept\r\nContent-Length: 0\r\n\r\n"
    )
    async with upstream(script) as app, running(tmp_path, CORS, app.url) as gateway:
        answer = await ask(gateway.port, get("/api/x", APP, bearer=token()))
        assert answer.all("Access-Control-Allow-Origin") == ["https://app.example"]
        assert answer.all("Access-Control-Allow-Methods") == []
        assert names(answer, "Vary") == {"Accept", "Origin"}
        other = await ask(gateway.port, get("/api/x", EVIL, bearer=token()))
        assert (other.status, other.all("Access-Control-Allow-Origin")) == (200, [])


async def test_anyone_may_read_where_everyone_may(tmp_path: Path) -> None:
    async with upstream() as app, running(tmp_path, 'cors: {origins: ["*"]}', app.url) as gateway:
        answer = await ask(gateway.port, get("/api/x", EVIL))
        assert (answer.status, answer.one("Access-Control-Allow-Origin")) == (401, "*")
        assert answer.all("Access-Control-Allow-Credentials") == []
