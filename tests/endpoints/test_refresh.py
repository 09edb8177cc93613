import asyncio

import pytest
from aiohttp import web

from gateway.endpoints.app import endpoints_application
from tests.endpoints.conftest import Start
from tests.endpoints.running import SECRET, Running, basic, error_of


async def test_an_exchange_may_be_json_or_a_form(running: Running) -> None:
    """C92"""
    pair = await running.logged_in()
    response = await running.http.post("/auth/refresh", json={"refresh_token": pair["refresh_token"]})
    assert response.status == 200
    second = await response.json()
    assert set(second) == {"access_token", "token_type", "expires_in", "refresh_token", "scope"}
    response = await running.post("/auth/refresh", {"refresh_token": second["refresh_token"]})
    assert response.status == 200


async def test_a_refused_exchange_is_401_and_clears_the_cookies(running: Running) -> None:
    """C83"""
    response = await running.http.post("/auth/refresh", json={"refresh_token": "garbage"})
    assert (response.status, await error_of(response)) == (401, "invalid_token")
    challenge = 'Bearer realm="gw", error="invalid_token", error_description="The refresh token is invalid, '
    assert response.headers["WWW-Authenticate"] == challenge + 'expired or revoked"'
    assert set(response.cookies) == {"__Host-access", "__Secure-refresh"}


@pytest.mark.parametrize(
    "body",
    [
        '{"refresh_token": ""}',
        '{"refresh_token": null}',
        '{"refresh_token": 1}',
        '{"refresh_token": ["x"]}',
        '{"refresh_token": "x", "refresh_token": "x"}',
        '["x"]',
        "{",
        '"x"',
    ],
)
async def test_malformed_json_is_refused(running: Running, body: str) -> None:
    response = await running.http.post("/auth/refresh", data=body, headers={"Content-Type": "application/json"})
    assert (response.status, await error_of(response)) == (400, "invalid_request")


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "application/json; charset=utf-16"},
    ],
)
async def test_other_bodies_are_refused(running: Running, headers: dict[str, str]) -> None:
    response = await running.http.post("/auth/refresh", data='{"refresh_token": "x"}', headers=headers)
    assert (response.status, await error_of(response)) == (400, "invalid_request")


async def test_a_compressed_body_is_refused(running: Running) -> None:
    response = await running.http.post("/auth/refresh", json={"refresh_token": "x"}, compress="deflate")
    assert (response.status, await error_of(response)) == (400, "invalid_request")


async def test_the_expired_access_token_may_stand_in_authorization(start: Start) -> None:
    running = await start(exchange={"access_token": "bound"})
    pair = await running.logged_in()
    running.later(700)
    bearer = {"Authorization": f"Bearer {pair['access_token']}"}
    body = {"refresh_token": pair["refresh_token"]}
    response = await running.http.post("/auth/refresh", json={**body, "access_token": "x"}, headers=bearer)
    assert (response.status, await error_of(response)) == (400, "invalid_request")
    response = await running.post("/oauth/token", {**body, "grant_type": "refresh_token"}, headers=bearer)
    assert (response.status, await error_of(response)) == (400, "invalid_request")
    response = await running.http.post("/auth/refresh", json=body, headers=bearer)
    assert response.status == 200


async def test_a_refresh_token_in_authorization_is_no_refresh_token(running: Running) -> None:
    pair = await running.logged_in()
    response = await running.http.post(
        "/auth/refresh", json={"x": 1}, headers={"Authorization": f"Bearer {pair['refresh_token']}"}
    )
    assert (response.status, await error_of(response)) == (400, "invalid_request")
    assert (await running.session_of(pair["refresh_token"])).generation == 1


async def test_a_confidential_client_authenticates_here_too(running: Running) -> None:
    pair = await running.logged_in("svc")
    body = {"refresh_token": pair["refresh_token"]}
    assert (await running.http.post("/auth/refresh", json=body)).status == 401
    response = await running.http.post("/auth/refresh", json=body, headers=basic("svc", "wrong"))
    assert (response.status, await error_of(response)) == (401, "invalid_client")
    assert (await running.http.post("/auth/refresh", json=body, headers=basic("svc"))).status == 200
    body |= {"client_id": "svc", "client_secret": SECRET}
    assert (await running.http.post("/auth/refresh", json=body)).status == 200


async def test_a_client_that_goes_away_within_its_body_is_no_bug(running: Running) -> None:
    """Not with the test server: that one cancels handlers."""
    runner = web.AppRunner(endpoints_application((), "/unused", running.endpoints))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    _, writer = await asyncio.open_connection(*runner.addresses[0])
    head = "POST /auth/refresh HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    writer.write(head.encode())
    await writer.drain()
    await asyncio.sleep(0.2)
    writer.close()
    await writer.wait_closed()
    async with asyncio.timeout(10):
        while not running.answered:
            await asyncio.sleep(0.01)
    assert running.failures == []
    assert running.answered[0][1] == "malformed_grant_request"
    await runner.cleanup()
