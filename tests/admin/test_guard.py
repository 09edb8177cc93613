"""What stands before the admin API: roles, other sites' pages, floods, and all that is no ordinary request."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gateway.admin.app import admin_application
from gateway.admin.parts import AdminParts
from gateway.admin.roles import needed_role
from gateway.telemetry.audit import AuditLog
from tests.admin.operating import API, READ_TOKEN, TOKENS, WRITE_TOKEN, Operated, operated, write_tokens
from tests.minting import access_claims
from tests.trips.reloading import reloading
from tests.trips.running import KEY
from tests.trips.wire import Client, Cut, Message, eventually

JSON = "Content-Type: application/json"
ISSUER = {
    "authenticators": ["issuer"],
    "require": [{"scopes": ["gateway:write"]}],
    "read": {"require": [{"scopes": ["gateway:read"]}]},
}


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Operated]:
    async with operated(tmp_path) as gateway:
        yield gateway


def json_of(answer: Message) -> Any:
    return json.loads(answer.body)


def staff(*scopes: str) -> str:
    return KEY.sign(access_claims(sub="carol", scope=" ".join(scopes)))


# --- roles


def application() -> web.Application:
    def no_parts() -> AdminParts:
        raise AssertionError("nobody asks")

    return admin_application(no_parts, None, AuditLog())  # type: ignore[arg-type]


def test_every_route_says_who_it_is_for_and_only_a_question_is_a_post_for_readers() -> None:
    """What changes something is for the role write, also when its author says nothing."""
    routes = [each for each in application().router.routes() if str(each.resource and each.resource.canonical)]
    assert len(routes) > 15
    for route in routes:
        path = route.resource.canonical if route.resource else ""
        role = needed_role(route.handler)
        if not path.startswith(API):
            assert (role, route.method in ("GET", "HEAD")) == (None, True), path
        elif route.method in ("GET", "HEAD") or path == f"{API}/explain":
            assert role == "read", f"{route.method} {path}"
        else:
            assert role == "write", f"{route.method} {path}"


async def test_a_reader_looks_and_changes_nothing(served: Operated) -> None:
    assert json_of(await served.ask("GET", "me", token=READ_TOKEN))["role"] == "read"
    assert (await served.ask("HEAD", "me", token=READ_TOKEN)).status == 200
    question = b'{"method": "GET", "url": "http://x/open/x"}'
    assert (await served.ask("POST", "explain", JSON, token=READ_TOKEN, body=question)).status == 200
    for method, path in (
        ("POST", "reload"),
        ("POST", "revocations"),
        ("POST", "subjects/alice/credential-change"),
        ("DELETE", "sessions/x"),
        ("DELETE", "subjects/alice/sessions"),
    ):
        answer = await served.ask(method, path, token=READ_TOKEN)
        assert (answer.status, json_of(answer)["error"]) == (403, "insufficient_scope"), path
        assert 'error="insufficient_scope"' in (answer.one("WWW-Authenticate") or "")
    refused = await served.audited("admin_refused", 5)
    assert {(each["actor"], each["reason"]) for each in refused} == {("read token", "read_only")}
    assert [each["path"] for each in refused][:2] == [f"{API}/reload", f"{API}/revocations"]


async def test_an_answer_names_its_line_in_the_audit_log(served: Operated) -> None:
    refused = await served.ask("POST", "reload", token=READ_TOKEN)
    changed = await served.ask("POST", "reload")
    [line] = await served.audited("admin_refused", 1)
    assert line["request_id"] == refused.one("X-Request-ID") == json_of(refused)["request_id"]
    [line] = await served.audited("admin_change", 1)
    assert line["request_id"] == changed.one("X-Request-ID") != refused.one("X-Request-ID")


async def test_a_writer_looks_too(served: Operated) -> None:
    me = json_of(await served.ask("GET", "me"))
    assert (me["actor"], me["role"]) == ("admin token", "write")
    assert (await served.ask("POST", "reload")).status == 202


@pytest.mark.parametrize(
    ("scopes", "look", "change"),
    [(["gateway:write"], 200, 202), (["gateway:read"], 200, 403), (["orders:read"], 403, 403)],
)
async def test_what_a_token_of_an_issuer_says_makes_the_role(
    tmp_path: Path, scopes: list[str], look: int, change: int
) -> None:
    async with operated(tmp_path, ISSUER) as served:
        assert (await served.ask("GET", "me", token=staff(*scopes))).status == look
        assert (await served.ask("POST", "reload", token=staff(*scopes))).status == change
        assert (await served.ask("GET", "me", token=WRITE_TOKEN)).status == 401


async def test_readers_can_be_all_there_are(tmp_path: Path) -> None:
    async with operated(tmp_path, {"read": {"token_file": "read-token"}}) as served:
        assert (await served.ask("GET", "me", token=READ_TOKEN)).status == 200
        assert (await served.ask("POST", "reload", token=READ_TOKEN)).status == 403
        assert (await served.ask("GET", "me", token=WRITE_TOKEN)).status == 401


async def test_roles_change_with_the_files(served: Operated) -> None:
    file = served.gateway.directory / "read-token"
    file.write_text("another-token-of-those-who-look-32-long\n" + READ_TOKEN)
    assert (await served.gateway.ask())["event"] == "config_reloaded"
    assert (await served.ask("GET", "me", token=READ_TOKEN)).status == 200
    file.write_text("another-token-of-those-who-look-32-long\n")
    assert (await served.gateway.ask())["event"] == "config_reloaded"
    assert (await served.ask("GET", "me", token=READ_TOKEN)).status == 401
    file.write_text(WRITE_TOKEN)
    assert (await served.gateway.ask())["event"] == "config_rejected"
    assert (await served.ask("POST", "reload")).status == 202


# --- pages of other sites


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "header",
    [
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
        "Sec-Fetch-Site: ",
        "Sec-Fetch-Site: Same-Origin",
        "Origin: null",
        "Origin: ",
        "Origin: https://attacker.example",
        "Origin: http://127.0.0.1",
        "Origin: http://127.0.0.1:{port}.attacker.example",
        "Origin: http://127.0.0.1:{port}@attacker.example",
        "Origin: http://localhost:{port}",
        "Origin: ftp://127.0.0.1:{port}",
        "Origin: http://127.0.0.1:{port}, http://attacker.example",
    ],
)
async def test_csrf_a_page_of_another_site_is_refused_whatever_it_brings(
    served: Operated, method: str, header: str
) -> None:
    answer = await served.ask(method, "me" if method == "GET" else "reload", header.format(port=served.port))
    assert (answer.status, json_of(answer)["error"]) == (403, "access_denied")
    assert answer.all("Access-Control-Allow-Origin") == []
    assert served.gateway.events("admin_change") == []


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ("Sec-Fetch-Site: same-origin",),
        ("Sec-Fetch-Site: none",),
        ("Origin: http://127.0.0.1:{port}", "Sec-Fetch-Site: same-origin"),
        ("Origin: https://127.0.0.1:{port}",),
    ],
)
async def test_our_own_page_and_programs_pass(served: Operated, headers: tuple[str, ...]) -> None:
    sent = [header.format(port=served.port) for header in headers]
    assert (await served.ask("POST", "reload", *sent)).status == 202


@pytest.mark.parametrize("name", ["Sec-Fetch-Site", "Origin", "Host", "Content-Type"])
async def test_what_decides_comes_once(served: Operated, name: str) -> None:
    value = {"Sec-Fetch-Site": "none", "Origin": f"http://127.0.0.1:{served.port}", "Content-Type": "application/json"}
    again = [f"{name}: {value.get(name, 'x')}"] * (1 if name == "Host" else 2)
    answer = await served.ask(
        "POST", "revocations", "Origin: http://x" if name == "Host" else "X: y", *again, body=b"{}"
    )
    assert answer.status == 400


async def test_nobody_is_told_that_another_site_may_read(served: Operated) -> None:
    for method in ("OPTIONS", "GET"):
        preflight = ("Origin: https://app.example", "Access-Control-Request-Method: DELETE")
        answer = await served.ask(method, "sessions/x", *preflight)
        assert answer.status == 403
        assert not [name for name, _ in answer.headers if name.lower().startswith("access-control")]


async def test_no_answer_can_be_shown_or_read_elsewhere(served: Operated) -> None:
    for answer in (await served.ask("GET", "me"), await served.ask("GET", "me", token=None)):
        assert answer.one("X-Content-Type-Options") == "nosniff"
        assert answer.one("Content-Security-Policy") == "default-src 'none'; frame-ancestors 'none'"
        assert answer.one("Cross-Origin-Resource-Policy") == "same-origin"
        assert (answer.one("Cache-Control"), answer.one("Server")) == ("no-store", "gateway")


@pytest.mark.parametrize(
    "media_type",
    [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonx",
        "text/plain; application/json",
        "application/json, text/plain",
    ],
)
async def test_a_body_is_json_and_says_so(served: Operated, media_type: str | None) -> None:
    headers = [] if media_type is None else [f"Content-Type: {media_type}"]
    answer = await served.ask("POST", "explain", *headers, body=b'{"method": "GET", "url": "http://x/open/x"}')
    assert (answer.status, json_of(answer)["error"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("media_type", ["application/json", "Application/JSON;charset=utf-8"])
async def test_json_is_taken_however_it_is_spelt(served: Operated, media_type: str) -> None:
    body = b'{"method": "GET", "url": "http://x/open/x"}'
    assert (await served.ask("POST", "explain", f"Content-Type: {media_type}", body=body)).status == 200


# --- floods


LIMIT = {**TOKENS, "rate_limit": {"requests": 3, "per": "1h"}}


async def test_an_address_that_asks_too_often_is_refused_also_with_the_right_token(tmp_path: Path) -> None:
    async with operated(tmp_path, LIMIT) as served:
        for token in ("x" * 40, None, WRITE_TOKEN):
            assert (await served.ask("GET", "me", token=token)).status in (401, 200)
        answer = await served.ask("GET", "me")
        assert (answer.status, json_of(answer)["error"]) == (429, "too_many_requests")
        assert 1100 < int(answer.one("Retry-After") or 0) <= 1200
        assert (await served.ask("GET", "nothing", token=None)).status == 429
        assert [each["reason"] for each in await served.audited("admin_refused", 2)] == [
            "unknown_issuer",
            "missing_credentials",
        ]


async def test_on_a_unix_socket_a_token_is_needed_too_and_all_who_come_count_as_one(tmp_path: Path) -> None:
    write_tokens(tmp_path)
    path = tmp_path / "admin.sock"

    async def status(token: str) -> int:
        client = Client(*await asyncio.open_unix_connection(path))
        head = f"GET {API}/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
        answer = await client.ask(head.encode())
        await client.close()
        return answer.status

    async with reloading(tmp_path, "", admin={**LIMIT, "address": f"unix:{path}"}):
        assert [await status(token) for token in ("x" * 40, WRITE_TOKEN, READ_TOKEN)] == [401, 200, 200]
        assert await status(WRITE_TOKEN) == 429


async def test_a_reload_neither_forgets_what_was_counted_nor_keeps_a_limit_that_was_lifted(tmp_path: Path) -> None:
    async with operated(tmp_path, LIMIT) as served:
        for _ in range(4):
            answer = await served.ask("GET", "me")
        assert answer.status == 429
        assert (await served.gateway.ask())["event"] == "config_unchanged"
        assert (await served.ask("GET", "me")).status == 429
        admin = {**TOKENS, "address": f"127.0.0.1:{served.port}"}
        await served.gateway.change(admin=admin, log={"level": "info", "access": False, "audit": "audit.log"})
        assert (await served.ask("GET", "me")).status == 200


# --- requests that try to be something else


@pytest.mark.parametrize(
    "path",
    [
        "/admin/api/v1/me?access_token={token}",
        "/admin/api/v1/me?token={token}",
        "//admin/api/v1/me",
        "/admin//api/v1/me",
        "/admin/api/v1/me/",
        "/ADMIN/api/v1/me",
        "/admin/api/v1/%6de/../me",
        "/admin/../admin/api/v1/me",
        "/admin/api/v1/me%00",
        "/admin/api/v1;x/me",
        "/admin/%2e%2e/admin/api/v1/me",
        "/admin/api%2Fv1/me",
        "http://127.0.0.1/admin/api/v1/me",
        "*",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "TRACE", "PATCH", "FOO"])
async def test_no_spelling_of_a_request_does_without_a_token(served: Operated, method: str, path: str) -> None:
    answer = await served.ask(method, path.format(token=WRITE_TOKEN), token=None)
    assert answer.status in (400, 401), answer
    assert b"role" not in answer.body


async def test_the_method_is_what_the_request_line_says(served: Operated) -> None:
    for override in ("X-HTTP-Method-Override: POST", "X-HTTP-Method: POST", "X-Method-Override: POST"):
        answer = await served.ask("GET", "reload?_method=POST", override, token=READ_TOKEN)
        assert (answer.status, answer.one("Allow")) == (405, "POST")
    assert served.gateway.events("admin_change") == []


@pytest.mark.parametrize(
    "headers",
    [
        (f"Authorization: Bearer {WRITE_TOKEN}", f"Authorization: Bearer {WRITE_TOKEN}"),
        (f"Authorization: Bearer {WRITE_TOKEN}", "authorization: Bearer x"),
        (f"Authorization: Bearer {WRITE_TOKEN} x",),
        (f"Authorization: Bearer {WRITE_TOKEN}, Bearer {READ_TOKEN}",),
        (f"Authorization: Bearer  {WRITE_TOKEN}\r\n x",),
        (f"Authorization: Token {WRITE_TOKEN}",),
        (f"Authorization : Bearer {WRITE_TOKEN}",),
        (f"X-Forwarded-Authorization: Bearer {WRITE_TOKEN}",),
        (f"Cookie: access_token={WRITE_TOKEN}; token={WRITE_TOKEN}",),
        ("X-Forwarded-Client-Cert: Subject=CN=alice", "X-SSL-Client-Verify: SUCCESS", "X-Forwarded-User: root"),
    ],
)
async def test_no_other_way_to_send_credentials_is_one(served: Operated, headers: tuple[str, ...]) -> None:
    assert (await served.ask("GET", "me", *headers, token=None)).status in (400, 401)


@pytest.mark.parametrize(
    "smuggled",
    [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Content-Length: 4\r\nContent-Length: 5\r\n\r\nxxxxx",
        "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
        "Content-Length: +4\r\n\r\nxxxx",
    ],
)
async def test_request_smuggling_a_second_request_is_never_found_in_a_first(served: Operated, smuggled: str) -> None:
    head = f"POST {API}/me HTTP/1.1\r\nHost: x\r\n{smuggled}".encode("latin-1")
    async with served.client() as client:
        await client.send(head + served.head("POST", "reload"))
        assert (await client.answer()).status == 400
        assert b"202" not in await client.closed()
    assert served.gateway.events("admin_change") == []


async def test_huge_heads_are_refused(served: Operated) -> None:
    for headers in ([f"X: {'x' * 9000}"], [f"X-{number}: y" for number in range(200)]):
        assert (await served.ask("GET", "me", *headers)).status in (400, 431)
    assert (await served.ask("GET", "me?x=" + "x" * 9000)).status in (400, 414)
    with contextlib.suppress(Cut, ConnectionError):
        assert (await served.ask("GET", "me", f"X: {'x' * 900_000}")).status in (400, 431)


async def test_a_body_that_comes_too_slowly_is_not_waited_for(
    served: Operated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.admin.reading._BODY_SECONDS", 0.2)
    async with served.client() as client:
        await client.send(served.head("POST", "explain", JSON, "Content-Length: 100") + b"{")
        assert (await client.answer()).status == 408
        await client.closed()


async def test_a_body_is_not_waited_for_before_it_is_known_who_sends_it(served: Operated) -> None:
    async with served.client() as client:
        await client.send(served.head("POST", "explain", JSON, "Content-Length: 1000", token=None))
        assert (await client.answer()).status == 401


async def test_requests_of_several_actors_on_one_connection_are_each_their_own(served: Operated) -> None:
    """A proxy before us may send the requests of many through one connection."""
    async with served.client() as client:
        tokens = (WRITE_TOKEN, READ_TOKEN, None, WRITE_TOKEN)
        await client.send(b"".join(served.head("POST", "reload", token=token) for token in tokens))
        assert [(await client.answer()).status for _ in tokens] == [202, 403, 401, 202]


async def test_whoever_asks_at_the_same_time_is_told_from_the_others(served: Operated) -> None:
    async def me(token: str | None) -> int:
        return (await served.ask("POST", "reload", token=token)).status

    tokens = [WRITE_TOKEN, READ_TOKEN, None, "x" * 40] * 10
    assert await asyncio.gather(*map(me, tokens)) == [202, 403, 401, 401] * 10
    refused = await served.audited("admin_refused", 30)
    assert sorted({str(each["actor"]) for each in refused}) == ["None", "read token"]
    await eventually(lambda: len(served.gateway.events("admin_change")) == 10)
