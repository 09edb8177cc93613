"""A real backend on loopback is asked."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import ValidationError

from gateway.mechanisms.base import BadSetting, Resources, offline_resources
from gateway.mechanisms.fetch import ControlClient
from gateway.mechanisms.logins.backend import MAX_RETRY_AFTER, MOST_AT_ONCE, BackendLogin, BackendLoginSettings
from gateway.mechanisms.logins.base import Attempt, ProvenUser
from gateway.model.errors import Declined, LoginSaturated, LoginUnavailable, TooManyAttempts, WrongPassword
from gateway.tokens.issue import RESERVED_CLAIMS

SECRET = "hunter2!pässword"
ATTEMPT = Attempt(
    "alice",
    SECRET,
    "192.0.2.1",
    {"username": "alice", "password": SECRET, "otp": "123456", "age": 7, "newsletter": True},
    headers={"user-agent": "app/1", "accept-language": "de"},
)


class Backend:
    """Answers as it is told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answer: web.Response = web.json_response({"id": 7})
        self.forever: asyncio.Event | None = None
        self.asked: list[tuple[web.Request, bytes]] = []
        self.url = ""
        self.notices: list[tuple[str, dict[str, Any]]] = []
        self.client = ControlClient()

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append((request, await request.read()))
        if self.forever is not None:
            await self.forever.wait()
        return web.Response(status=self.answer.status, body=self.answer.body, headers=self.answer.headers)

    def login(self, *, signs_up: bool = False, **settings: Any) -> BackendLogin:
        resources = replace(
            offline_resources(Path()), notice=lambda event, fields: self.notices.append((event, fields))
        )
        values = {"url": self.url, "subject": "id", **settings}
        return BackendLoginSettings(**values).build(resources, self.client.post, signs_up=signs_up)

    def status(self, status: int, body: bytes = b'{"error": "no"}', headers: dict[str, str] | None = None) -> None:
        self.answer = web.Response(status=status, body=body, headers=headers, content_type="application/json")


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    backend = Backend()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", backend.handle)
    async with TestServer(app) as server:
        backend.url = str(server.make_url("/login"))
        yield backend
        await backend.client.close()


async def test_a_login_sends_name_and_password_and_believes_the_answer(backend: Backend) -> None:
    backend.answer = web.json_response({"user": {"id": "u-1", "roles": ["a", "b"]}, "team": "x"}, status=201)
    login = backend.login(subject="user.id", scope="user.roles", claims={"team": "team", "absent": "no.where"})
    assert await login.prove(ATTEMPT) == ProvenUser("u-1", "a b", {"team": "x"})
    [(request, body)] = backend.asked
    assert (request.method, request.path) == ("POST", "/login")
    assert request.content_type == "application/json"
    assert json.loads(body) == {"username": "alice", "password": SECRET}
    login.close()


async def test_fields_and_headers_are_sent_as_they_are_set(backend: Backend) -> None:
    login = backend.login(
        send="form",
        username_field="email",
        password_field="pw",
        more_fields=["otp", "tenant"],
        forward_headers=["User-Agent", "X-Missing"],
    )
    assert (await login.prove(ATTEMPT)).subject == "7"
    [(request, body)] = backend.asked
    assert request.content_type == "application/x-www-form-urlencoded"
    assert body == b"otp=123456&email=alice&pw=hunter2%21p%C3%A4ssword"
    assert request.headers["User-Agent"] == "app/1"
    assert "Accept-Language" not in request.headers
    assert request.headers["X-Forwarded-For"] == "192.0.2.1"


@pytest.mark.parametrize("address", ["", "unix:", "192.0.2.1, 10.0.0.1", "192.0.2.1\r\nX-Admin: 1", "fe80::1%eth0"])
async def test_only_an_address_is_passed_on_as_one(backend: Backend, address: str) -> None:
    """Header injection."""
    await backend.login().prove(replace(ATTEMPT, address=address))
    assert "X-Forwarded-For" not in backend.asked[0][0].headers


async def test_a_header_that_would_be_several_is_not_passed_on(backend: Backend) -> None:
    """Header injection."""
    login = backend.login(forward_headers=["Accept-Language"])
    await login.prove(replace(ATTEMPT, headers={"accept-language": "de\r\nX-Admin: 1"}))
    assert not {"X-Admin", "Accept-Language"} & set(backend.asked[0][0].headers)


@pytest.mark.parametrize("status", [400, 401, 403, 422])
async def test_a_login_that_the_backend_declines_is_a_wrong_password(backend: Backend, status: int) -> None:
    backend.status(status)
    with pytest.raises(WrongPassword) as caught:
        await backend.login().prove(ATTEMPT)
    assert (caught.value.status, caught.value.description) == (401, "The user name or the password is wrong")
    assert backend.notices == []


async def test_which_statuses_mean_a_wrong_password_can_be_set(backend: Backend) -> None:
    backend.status(404)
    login = backend.login(wrong_password_status=[404])
    with pytest.raises(WrongPassword):
        await login.prove(ATTEMPT)
    backend.status(401)
    with pytest.raises(LoginUnavailable):
        await login.prove(ATTEMPT)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 404, 405, 409, 415, 500, 502, 503])
async def test_what_says_nothing_about_the_password_is_503(backend: Backend, status: int) -> None:
    backend.status(status, headers={"Location": backend.url})
    with pytest.raises(LoginUnavailable):
        await backend.login().prove(ATTEMPT)
    assert len(backend.asked) == 1
    assert backend.notices == [("login_backend_failed", {"error": f"the login backend answered {status}"})]


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"id": null}', b'{"id": ""}', b'{"id": {}}', b"x" * 70_000, b'{"user": "alice"}']
)
async def test_a_2xx_answer_without_a_subject_is_503(backend: Backend, body: bytes) -> None:
    backend.status(200, body)
    with pytest.raises(LoginUnavailable):
        await backend.login().prove(ATTEMPT)
    assert len(backend.notices) == 1


async def test_a_backend_that_is_slow_or_gone_is_503(backend: Backend) -> None:
    backend.forever = asyncio.Event()
    with pytest.raises(LoginUnavailable, match="did not answer within"):
        await backend.login(timeout="50ms").prove(ATTEMPT)
    backend.forever.set()
    with pytest.raises(LoginUnavailable):
        await backend.login(url="http://127.0.0.1:1/").prove(ATTEMPT)
    assert [event for event, _ in backend.notices] == ["login_backend_failed"] * 2


@pytest.mark.parametrize(
    ("header", "seconds"), [("30", 30), ("0", 1), ("999999", MAX_RETRY_AFTER), ("Fri, 31 Dec 2027 23:59:59 GMT", 1)]
)
@pytest.mark.parametrize("signs_up", [False, True])
async def test_a_backend_may_ask_for_patience(backend: Backend, header: str, seconds: int, signs_up: bool) -> None:
    backend.status(429, headers={"Retry-After": header})
    with pytest.raises(TooManyAttempts) as caught:
        await backend.login(signs_up=signs_up).prove(ATTEMPT)
    assert caught.value.retry_after == seconds


async def test_a_sign_up_sends_everything(backend: Backend) -> None:
    login = backend.login(signs_up=True, username_field="email")
    assert (await login.prove(ATTEMPT)).subject == "7"
    assert json.loads(backend.asked[0][1]) == {**ATTEMPT.fields, "email": "alice", "password": SECRET}
    form = backend.login(signs_up=True, send="form")
    await form.prove(ATTEMPT)
    assert backend.asked[1][1] == (b"username=alice&password=hunter2%21p%C3%A4ssword&otp=123456&age=7&newsletter=true")


@pytest.mark.parametrize("value", [["a"], {"a": 1}, None, "\ud800"])
async def test_what_no_form_can_hold_is_declined_unsent(backend: Backend, value: Any) -> None:
    with pytest.raises(Declined):
        await backend.login(signs_up=True, send="form").prove(replace(ATTEMPT, fields={"x": value}))
    assert backend.asked == []


@pytest.mark.parametrize("status", [400, 401, 403, 409, 422])
async def test_a_sign_up_passes_on_why_it_was_declined(backend: Backend, status: int) -> None:
    backend.status(status, '{"email": ["ist vergeben: ä"]}'.encode())
    with pytest.raises(Declined) as caught:
        await backend.login(signs_up=True).prove(ATTEMPT)
    assert caught.value.answer_status == status
    assert caught.value.answer is not None
    assert json.loads(caught.value.answer) == {"email": ["ist vergeben: ä"]}


@pytest.mark.parametrize("body", [b"", b"<script>", b"[1]", b'{"x": "' + b"y" * 9000 + b'"}'])
async def test_only_a_small_json_object_is_passed_on(backend: Backend, body: bytes) -> None:
    backend.status(409, body)
    with pytest.raises(Declined) as caught:
        await backend.login(signs_up=True).prove(ATTEMPT)
    assert (caught.value.answer_status, caught.value.answer) == (409, None)


@pytest.mark.parametrize("status", [302, 404, 405, 407, 408, 500])
async def test_a_sign_up_that_did_not_reach_its_backend_is_503(backend: Backend, status: int) -> None:
    backend.status(status)
    with pytest.raises(LoginUnavailable):
        await backend.login(signs_up=True).prove(ATTEMPT)


async def test_no_secret_is_in_what_is_logged(backend: Backend) -> None:
    backend.url += "?key=hunter2"
    for status, body in (
        (500, SECRET.encode()),
        (200, SECRET.encode()),
        (200, json.dumps({"id": f"{SECRET}\n"}).encode()),
    ):
        backend.status(status, body)
        with pytest.raises(LoginUnavailable) as caught:
            await backend.login().prove(ATTEMPT)
        assert "hunter2" not in str(caught.value)
    backend.status(200, b"x" * 70_000)
    with pytest.raises(LoginUnavailable):
        await backend.login().prove(ATTEMPT)
    assert "hunter2" not in str(backend.notices)


async def test_no_cookie_goes_from_one_user_to_the_next(backend: Backend) -> None:
    backend.answer = web.json_response({"id": 7}, headers={"Set-Cookie": "session=1; Path=/"})
    login = backend.login()
    await login.prove(ATTEMPT)
    backend.answer = web.json_response({"id": 8})
    await login.prove(ATTEMPT)
    assert all("Cookie" not in request.headers for request, _ in backend.asked)


async def test_an_endless_password_is_not_even_sent(backend: Backend) -> None:
    with pytest.raises(WrongPassword):
        await backend.login().prove(replace(ATTEMPT, password="x" * 1025))
    assert backend.asked == []


@pytest.mark.parametrize("claim", sorted(RESERVED_CLAIMS))
def test_a_backend_cannot_set_what_the_gateway_says(claim: str) -> None:
    with pytest.raises(ValidationError, match=f"the gateway itself sets {claim}"):
        BackendLoginSettings(url="https://b.example", subject=("id",), claims={claim: ("x",)})


@pytest.mark.parametrize(
    "settings",
    [
        {"forward_headers": ["Cookie"]},
        {"forward_headers": ["authorization"]},
        {"forward_headers": ["X-Forwarded-For"]},
        {"forward_headers": ["Content-Length"]},
        {"username_field": "password"},
        {"more_fields": ["password"]},
        {"wrong_password_status": [500]},
        {"wrong_password_status": [200]},
        {"timeout": 0},
        {"subject": None},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        BackendLoginSettings(**{"url": "https://b.example", "subject": "id", **settings})


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "not an http"),
        ("login", "not an http"),
        ("ftp://b.example/", "not an http"),
        ("https://", "URL"),
        ("http://[", "not a URL"),
        ("https://user:secret@b.example/", "credentials"),
        ("https://b.example/#x", "not an http"),
        ("http://b.example/", "http_login"),
        ("http://10.0.0.1/", "http_login"),
        ("http://127.0.0.1.b.example/", "http_login"),
    ],
)
def test_a_url_over_which_passwords_could_leak_is_refused(url: str, message: str) -> None:
    with pytest.raises(BadSetting, match=message) as caught:
        build(url, offline_resources(Path()))
    assert caught.value.path == ("url",)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["https://b.example/login?x=1", "http://127.0.0.1:8000/", "http://[::1]/", "http://localhost/"]
)
def test_https_and_loopback_are_taken(url: str) -> None:
    build(url, offline_resources(Path()))


def test_plain_http_can_be_accepted_by_name() -> None:
    build("http://b.example/", replace(offline_resources(Path()), insecure=frozenset({"http_login"})))


def build(url: str, resources: Resources) -> BackendLogin:
    return BackendLoginSettings(url=url, subject=("id",)).build(resources, ControlClient().post)


async def test_a_backend_that_hangs_takes_nothing_else_along(backend: Backend) -> None:
    backend.forever = asyncio.Event()
    login = backend.login(timeout=30)
    waiting = [asyncio.create_task(login.prove(ATTEMPT)) for _ in range(MOST_AT_ONCE)]
    await asyncio.sleep(0)
    with pytest.raises(LoginSaturated):
        await login.prove(ATTEMPT)
    waiting.pop().cancel()
    await asyncio.sleep(0)
    waiting.append(asyncio.create_task(login.prove(ATTEMPT)))
    backend.forever.set()
    assert await asyncio.gather(*waiting) == [ProvenUser("7")] * MOST_AT_ONCE
    login.close()
