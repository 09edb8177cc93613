import json
import logging

import pytest
from aiohttp import web
from pytest_aiohttp.plugin import AiohttpClient

from gateway.endpoints.app import ENDPOINTS, endpoints_application
from gateway.endpoints.context import Endpoints
from tests.endpoints.conftest import Start
from tests.endpoints.running import PASSWORD, SECRET, Running, basic, error_of


async def test_every_answer_is_told(running: Running) -> None:
    pair = await running.logged_in()
    await running.post("/oauth/token", {"grant_type": "foo"})
    await running.post("/auth/refresh", {"refresh_token": "junk"})
    await running.post("/auth/logout", {"refresh_token": pair["refresh_token"]})
    assert running.answered == [
        ("login", "ok"),
        ("token", "unsupported_grant_type"),
        ("refresh", "unknown_refresh_token"),
        ("logout", "ok"),
    ]


async def test_what_is_elsewhere_is_not_found_in_json(running: Running) -> None:
    response = await running.http.get("/nowhere", headers={"X-Request-ID": "r1"})
    assert (response.status, response.content_type) == (404, "application/json")
    assert await response.json() == {
        "error": "not_found",
        "error_description": "Nothing is served here",
        "request_id": "r1",
    }


async def test_a_refusal_names_the_request_and_not_the_server(running: Running) -> None:
    response = await running.post("/oauth/token", {"x": "y"}, headers={"X-Request-ID": "r1"})
    assert (await response.json())["request_id"] == "r1"
    assert response.headers["Server"] == "gateway"


async def test_a_bug_refuses_and_is_told(
    running: Running, monkeypatch: pytest.MonkeyPatch, aiohttp_client: AiohttpClient
) -> None:
    async def buggy(endpoints: Endpoints, request: web.Request) -> web.Response:
        raise KeyError("a secret")

    monkeypatch.setitem(ENDPOINTS, "token", buggy)
    running.http = await aiohttp_client(endpoints_application((), "/x", running.endpoints))
    response = await running.post("/oauth/token", {"x": "y"})
    assert (response.status, await error_of(response)) == (500, "server_error")
    assert "secret" not in await response.text()
    assert [type(error) for error in running.failures] == [KeyError]
    assert running.answered[-1][1] == "internal_error"


async def test_paths_can_be_moved_and_switched_off(start: Start) -> None:
    running = await start(endpoints={"token": "/token", "refresh": None, "login": "/in"})
    assert (await running.post("/token", {"x": "y"})).status == 400
    assert (await running.http.post("/in", json={})).status == 400
    for path in ("/oauth/token", "/auth/refresh", "/auth/login"):
        assert (await running.http.post(path)).status == 404


async def test_no_token_secret_or_password_gets_into_logs_errors_and_events(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    """C123"""
    caplog.set_level(logging.DEBUG)
    running = await start(answer={"refresh": "json"})
    pair = await running.logged_in()
    secrets = [pair["access_token"], pair["refresh_token"], SECRET, PASSWORD, "w" * 40]
    texts: list[str] = []
    for secret in secrets:
        for path in ("/oauth/token", "/oauth/revoke", "/oauth/introspect", "/auth/login", "/auth/refresh"):
            form = {
                "grant_type": "refresh_token",
                "refresh_token": secret + "x",
                "access_token": secret,
                "token": secret + "x",
                "username": secret,
                "password": secret,
                "scope": secret,
                "client_id": secret[:60],
                "redirect": secret,
            }
            for more in (form, {**form, "client_id": "svc"}, {**form, "client_id": "web", "redirect": ""}):
                for headers in ({}, basic("svc", secret), {"Authorization": f"Bearer {secret}"}):
                    response = await running.post(path, more, headers=headers)
                    assert response.status >= 200
                    texts.append(str(response.headers))
                    if response.status != 200:
                        texts.append(await response.text())
            response = await running.post(f"{path}?token={secret}")
            texts.append(await response.text())
            response = await running.http.post(
                path, data=json.dumps({"refresh_token": [secret]}), headers={"Content-Type": "application/json"}
            )
            texts.append(await response.text())
    texts.append(str(running.answered))
    texts.append(str(running.events))
    texts.append(str(running.failures))
    texts.append(str(running.settings))
    texts.extend(record.getMessage() for record in caplog.records if record.name.startswith("gateway"))
    everything = "\n".join(texts)
    assert running.failures == []
    for secret in secrets:
        assert secret not in everything
