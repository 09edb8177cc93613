from collections.abc import Mapping
from typing import Any

import pytest
from aiohttp import web

from gateway.endpoints.app import endpoints_application
from gateway.endpoints.context import Endpoints
from gateway.mechanisms.logins.base import Attempt, ProvenUser
from gateway.model.errors import Declined, LoginUnavailable
from gateway.model.faces import Challenge
from gateway.model.session import EndReason
from gateway.tokens.jose import read_jws
from tests.endpoints.conftest import Start
from tests.endpoints.running import ISSUER, PASSWORD, SECRET, Running, basic, error_of

ALICE = {"username": "alice", "password": PASSWORD}


async def test_a_login_gives_a_pair_that_must_not_be_stored_on_the_way(running: Running) -> None:
    """C72"""
    response = await running.http.post("/auth/login", json=ALICE)
    assert response.status == 200
    assert response.content_type == "application/json"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Pragma"] == "no-cache"
    body = await response.json()
    assert set(body) == {"access_token", "token_type", "expires_in", "refresh_token", "scope"}
    assert (body["token_type"], body["scope"]) == ("Bearer", "orders:read orders:write")
    assert type(body["expires_in"]) is int
    claims = read_jws(body["access_token"]).payload
    assert (claims["iss"], claims["sub"], claims["client_id"]) == (ISSUER, "alice", "web")
    assert "Set-Cookie" not in response.headers


async def test_a_login_may_be_a_form(running: Running) -> None:
    response = await running.post("/auth/login", ALICE)
    assert response.status == 200


async def test_unknown_user_and_wrong_password_look_the_same(running: Running) -> None:
    answers = [
        await running.http.post("/auth/login", json={"username": name, "password": "wrong"})
        for name in ("alice", "nobody")
    ]
    assert [answer.status for answer in answers] == [401, 401]
    assert await answers[0].text() == await answers[1].text()
    assert await error_of(answers[0]) == "invalid_credentials"
    assert answers[0].headers["WWW-Authenticate"] == 'Bearer realm="gw"'


@pytest.mark.parametrize(
    "body", [{}, {"username": "alice"}, {"password": "x"}, {"username": "", "password": "x"}, {"username": 1}]
)
async def test_a_login_needs_a_name_and_a_password(running: Running, body: dict[str, Any]) -> None:
    response = await running.http.post("/auth/login", json=body)
    assert (response.status, await error_of(response)) == (400, "invalid_request")


async def test_the_scope_asked_for_is_granted_or_refused(running: Running) -> None:
    assert (await running.logged_in(scope="orders:read"))["scope"] == "orders:read"
    response = await running.http.post("/auth/login", json={**ALICE, "scope": "orders:read admin"})
    assert (response.status, await error_of(response)) == (400, "invalid_scope")


async def test_a_client_gets_no_more_scope_than_it_may(start: Start) -> None:
    running = await start(clients={"web": {"type": "public", "scope": "orders:read"}})
    response = await running.http.post("/auth/login", json=ALICE)
    assert (await response.json())["scope"] == "orders:read"


async def test_a_client_without_the_grant_gets_an_access_token_only(start: Start) -> None:
    running = await start(clients={"web": {"type": "public", "grants": []}})
    response = await running.http.post("/auth/login", json=ALICE)
    assert set(await response.json()) == {"access_token", "token_type", "expires_in", "scope"}


async def test_a_login_that_names_no_client_is_the_default_clients(start: Start) -> None:
    running = await start(default_client=None)
    response = await running.http.post("/auth/login", json=ALICE)
    assert (response.status, await error_of(response)) == (400, "invalid_request")
    response = await running.http.post("/auth/login", json={**ALICE, "client_id": "svc"})
    assert (response.status, await error_of(response)) == (401, "invalid_client")
    response = await running.http.post("/auth/login", json=ALICE, headers=basic("svc"))
    assert response.status == 200
    response = await running.http.post("/auth/login", json={**ALICE, "client_id": "svc", "client_secret": SECRET})
    assert response.status == 200


async def test_the_oldest_session_makes_way_for_a_new_one(start: Start) -> None:
    """C111"""
    running = await start(limit={"per_subject": 1})
    first = await running.logged_in()
    running.later(1)
    second = await running.logged_in()
    assert not running.is_good(first["access_token"])
    assert running.is_good(second["access_token"])
    assert await error_of(await running.exchange(first["refresh_token"])) == "invalid_grant"
    assert running.ends() == [EndReason.EVICTED]


async def test_a_login_beyond_the_limit_is_told_how_many_sessions_there_are(start: Start) -> None:
    """C112"""
    running = await start(limit={"per_subject": 2, "on_excess": "reject"})
    first = await running.logged_in()
    await running.logged_in()
    response = await running.http.post("/auth/login", json=ALICE)
    assert response.status == 403
    body = await response.json()
    assert (body["error"], body["sessions"]) == ("too_many_sessions", 2)
    assert running.is_good(first["access_token"])


async def test_a_session_remembers_the_device_and_about_where_it_is(running: Running) -> None:
    headers = {"X-Gateway-Client-Address": "192.0.2.77", "User-Agent": "Firefox\t " + "x" * 500}
    response = await running.http.post("/auth/login", json=ALICE, headers=headers)
    session = await running.session_of((await response.json())["refresh_token"])
    assert session.address == "192.0.2.0/24"
    assert session.device.startswith("Firefox xxx")
    assert len(session.device) == 128
    session = await running.session_of((await running.logged_in(device="Alice's phone"))["refresh_token"])
    assert (session.device, session.address) == ("Alice's phone", "")


async def test_while_the_store_is_away_nobody_is_told_that_the_password_is_wrong(running: Running) -> None:
    await running.store.close()
    response = await running.http.post("/auth/login", json=ALICE)
    assert (response.status, await error_of(response)) == (503, "temporarily_unavailable")
    assert "Retry-After" in response.headers
    await running.store.open()


async def test_a_form_is_sent_on_only_to_what_is_listed(start: Start) -> None:
    """C179"""
    running = await start(redirects=["https://app.example.com/home", "/welcome"])
    for target in ("https://evil.example/", "https://app.example.com/home/", "https://app.example.com/home?x", "//e"):
        response = await running.post("/auth/login", {**ALICE, "redirect": target})
        assert (response.status, await error_of(response)) == (400, "invalid_request")
        assert "Location" not in response.headers
        response = await running.post("/auth/logout", {"redirect": target})
        assert response.status == 400
    response = await running.post("/auth/login", {**ALICE, "redirect": "https://app.example.com/home"})
    assert (response.status, response.headers["Location"]) == (303, "https://app.example.com/home")
    assert set(response.cookies) == {"__Host-access", "__Secure-refresh"}
    assert await response.text() == ""
    response = await running.post("/auth/logout", {"redirect": "/welcome"})
    assert (response.status, response.headers["Location"]) == (303, "/welcome")


class Backend:
    """A login that says what it is told, and keeps what it was asked."""

    def __init__(self, answer: ProvenUser | Exception) -> None:
        self.answer = answer
        self.attempts: list[Attempt] = []

    async def prove(self, attempt: Attempt) -> ProvenUser:
        self.attempts.append(attempt)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def close(self) -> None:
        return


SIGNUP = {"url": "https://backend.example/signup", "subject": "id", "username_field": "email"}


async def signing_up(start: Start, backend: Backend, aiohttp_client: Any) -> Running:
    running = await start(signup=SIGNUP, endpoints={"signup": "/auth/signup"})
    endpoints = Endpoints(
        running.service,
        running.settings,
        running.clients,
        running.own,
        running.view,
        Challenge("gw"),
        lambda: running.now,
        signup=backend,
        login=running.login,
    )
    app: web.Application = endpoints_application((), "/unused", endpoints)
    running.http = await aiohttp_client(app)
    return running


async def test_whoever_signs_up_is_logged_in(start: Start, aiohttp_client: Any) -> None:
    backend = Backend(ProvenUser("42", "orders:read", {"name": "Bob"}))
    running = await signing_up(start, backend, aiohttp_client)
    body = {"email": "bob@example.com", "password": "s3cret", "plan": "gold"}
    response = await running.http.post("/auth/signup", json=body)
    assert response.status == 200
    answer = await response.json()
    claims: Mapping[str, Any] = read_jws(answer["access_token"]).payload
    assert (claims["sub"], claims["scope"], claims["name"]) == ("42", "orders:read", "Bob")
    (attempt,) = backend.attempts
    assert (attempt.username, attempt.password, attempt.fields) == ("bob@example.com", "s3cret", {"plan": "gold"})


async def test_what_a_backend_has_against_a_sign_up_is_passed_on(start: Start, aiohttp_client: Any) -> None:
    backend = Backend(Declined("409", answer_status=409, answer=b'{"error":"taken"}'))
    running = await signing_up(start, backend, aiohttp_client)
    response = await running.http.post("/auth/signup", json={"email": "bob", "password": "x"})
    assert (response.status, await response.json()) == (409, {"error": "taken"})
    backend.answer = Declined("400")
    response = await running.http.post("/auth/signup", json={"email": "bob", "password": "x"})
    assert (response.status, await error_of(response)) == (400, "declined")
    backend.answer = LoginUnavailable("away")
    response = await running.http.post("/auth/signup", json={"email": "bob", "password": "x"})
    assert response.status == 503


async def test_there_is_no_login_where_nobody_can_log_in(start: Start) -> None:
    running = await start(login=None)
    assert (await running.http.post("/auth/login", json=ALICE)).status == 404
