from typing import Any

import pytest

from gateway.tokens.jose import read_jws
from tests.endpoints.conftest import Start
from tests.endpoints.running import SECRET, Running, basic, error_of, hashed


async def test_a_backend_opens_a_session_for_its_user(running: Running) -> None:
    body = {
        "sub": "42",
        "scope": "anything:at-all",
        "claims": {"roles": ["admin"]},
        "client_id": "phone",
        "device": "Bob's phone",
        "address": "2001:db8:1:2::3",
    }
    response = await running.http.post("/auth/sessions", json=body, headers=basic("backend"))
    assert response.status == 201
    assert response.headers["Cache-Control"] == "no-store"
    answer = await response.json()
    assert set(answer) == {"access_token", "token_type", "expires_in", "refresh_token", "scope"}
    claims = read_jws(answer["access_token"]).payload
    assert (claims["sub"], claims["scope"], claims["roles"]) == ("42", "anything:at-all", ["admin"])
    session = await running.session_of(answer["refresh_token"])
    assert (session.client_id, session.device, session.address) == ("phone", "Bob's phone", "2001:db8:1::/48")
    await running.exchanged(answer["refresh_token"])


async def test_the_session_is_the_default_clients_or_the_callers_own(start: Start) -> None:
    running = await start()
    for default, client_id in (("web", "web"), (None, "backend")):
        running.endpoints.settings = running.settings.model_copy(update={"default_client": default})
        response = await running.http.post("/auth/sessions", json={"sub": "42"}, headers=basic("backend"))
        answer = await response.json()
        assert answer["scope"] == "orders:read orders:write"
        assert (await running.session_of(answer["refresh_token"])).client_id == client_id


@pytest.mark.parametrize(
    ("headers", "status", "error"),
    [
        ({}, 401, "invalid_client"),
        (basic("backend", "wrong"), 401, "invalid_client"),
        (basic("nobody"), 401, "invalid_client"),
        (basic("web", ""), 401, "invalid_client"),
        (basic("svc"), 400, "unauthorized_client"),
        ({"Authorization": "Bearer x"}, 401, "invalid_client"),
    ],
)
async def test_nobody_else_opens_sessions(running: Running, headers: dict[str, str], status: int, error: str) -> None:
    response = await running.http.post("/auth/sessions", json={"sub": "42"}, headers=headers)
    assert (response.status, await error_of(response)) == (status, error)
    body = {"sub": "42", "client_id": "backend", "client_secret": SECRET}
    assert (await running.http.post("/auth/sessions", json=body)).status == 401


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"sub": ""},
        {"sub": 42},
        {"sub": "x" * 256},
        {"sub": "a\nb"},
        {"sub": "42", "client_id": "nobody"},
        {"sub": "42", "claims": []},
        {"sub": "42", "claims": {"sub": "43"}},
        {"sub": "42", "claims": {"gen": 7}},
        {"sub": "42", "claims": {"x": "y" * 5000}},
    ],
)
async def test_what_makes_no_session_is_refused(running: Running, body: dict[str, Any]) -> None:
    response = await running.http.post("/auth/sessions", json=body, headers=basic("backend"))
    assert (response.status, await error_of(response)) == (400, "invalid_request")


async def test_the_call_is_json_only(running: Running) -> None:
    response = await running.post("/auth/sessions", {"sub": "42"}, headers=basic("backend"))
    assert (response.status, await error_of(response)) == (400, "invalid_request")


async def test_a_scope_beyond_the_clients_is_refused(start: Start) -> None:
    clients = {
        "web": {"type": "public", "scope": "orders:read"},
        "backend": {"type": "confidential", "secret_hashes": [hashed(SECRET)], "may": {"open_sessions": True}},
    }
    running = await start(clients=clients)
    body = {"sub": "42", "client_id": "web", "scope": "orders:read admin"}
    response = await running.http.post("/auth/sessions", json=body, headers=basic("backend"))
    assert (response.status, await error_of(response)) == (400, "invalid_scope")


async def test_a_scope_beyond_the_callers_own_is_refused_whoever_gets_it(start: Start) -> None:
    backend = {"type": "confidential", "secret_hashes": [hashed(SECRET)], "may": {"open_sessions": True}}
    clients = {"web": {"type": "public"}, "backend": {**backend, "scope": "orders:read"}}
    running = await start(clients=clients)
    body = {"sub": "42", "client_id": "web"}
    response = await running.http.post("/auth/sessions", json={**body, "scope": "admin"}, headers=basic("backend"))
    assert (response.status, await error_of(response)) == (400, "invalid_scope")
    response = await running.http.post("/auth/sessions", json=body, headers=basic("backend"))
    assert (await response.json())["scope"] == "orders:read"
