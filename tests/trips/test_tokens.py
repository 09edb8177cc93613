"""Tokens through the real server: what passes, what is refused and how, what the upstream is told. Conformance 5.1."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests

from tests.minting import NOW, access_claims, make_key
from tests.trips.running import Running, get, request, running, token
from tests.trips.servers import curl, nginx_running
from tests.trips.wire import Message, Upstream, ask, connected, upstream

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])
"""The judgement is the same on every event loop."""

GATE = """
token_from: [authorization, {cookie: session}]
inject:
  - {header: X-User-Id, claim: sub}
  - {header: X-Auth-Claims, claim: roles}
routes:
  - {id: open, match: {path: "/open/**"}, upstream: app, access: public}
  - {id: maybe, match: {path: "/maybe/**"}, upstream: app, access: optional}
  - {id: api, match: {path: "/api/**"}, upstream: app, token_from: [authorization]}
  - {id: orders, match: {path: /api/orders}, upstream: app, require: [{scopes: ["orders:read"]}]}
  - {id: pay, match: {path: /api/pay}, upstream: app, require: [{acr: [mfa]}]}
  - {id: recent, match: {path: /api/recent}, upstream: app, require: [{max_age: 300}]}
  - {id: cookie, match: {path: "/cookie/**"}, upstream: app}
"""

BARE = 'Bearer realm="gw"'
INVALID = 'Bearer realm="gw", error="invalid_token", error_description="The access token is invalid"'
MALFORMED = 'Bearer realm="gw", error="invalid_request", error_description="The request is malformed"'
EXPIRED = 'Bearer realm="gw", error="invalid_token", error_description="The access token expired"'


@asynccontextmanager
async def gate(directory: Path, text: str = "") -> AsyncIterator[tuple[Upstream, Running]]:
    async with upstream() as app, running(directory, GATE + text, app.url) as gateway:
        yield app, gateway


async def passes(directory: Path, data: bytes) -> Message:
    """Return the request as the upstream saw it; the client must have its answer."""
    async with gate(directory) as (app, gateway):
        answer = await ask(gateway.port, data)
        assert (answer.status, answer.body) == (200, b"ok")
        [seen] = app.requests
        return seen


async def refused(directory: Path, data: bytes, status: int, challenge: str | None) -> Message:
    """Check status, headers and body of a refusal, and that the upstream was not even connected to."""
    async with gate(directory) as (app, gateway):
        answer = await ask(gateway.port, data)
        assert app.connections == 0
    assert answer.status == status
    assert answer.all("WWW-Authenticate") == ([] if challenge is None else [challenge])
    assert answer.one("Cache-Control") == "no-store"
    assert answer.one("Content-Type") == "application/json"
    if not data.startswith(b"HEAD"):
        body = json.loads(answer.body)
        assert sorted(body) == ["error", "error_description", "request_id"]
        assert body["request_id"] == answer.one("X-Request-ID")
        assert challenge in (None, BARE) or f'error="{body["error"]}"' in str(challenge)
    return answer


# --- C1 to C12: where the token is


async def test_without_a_token_there_is_a_bare_challenge(tmp_path: Path) -> None:
    """C1"""
    answer = await refused(tmp_path, get("/api/orders"), 401, BARE)
    assert json.loads(answer.body)["error"] == "unauthorized"


async def test_the_challenge_names_the_resource_metadata(tmp_path: Path) -> None:
    """C1"""
    async with gate(tmp_path, "resource_metadata: https://api.example/metadata") as (_, gateway):
        answer = await ask(gateway.port, get("/api/orders"))
    assert answer.one("WWW-Authenticate") == f'{BARE}, resource_metadata="https://api.example/metadata"'


async def test_another_scheme_is_no_token(tmp_path: Path) -> None:
    """C2"""
    await refused(tmp_path, get("/api/orders", "Authorization: Basic dTpw"), 401, BARE)


async def test_a_valid_token_passes_and_the_upstream_learns_who_it_is(tmp_path: Path) -> None:
    """C3"""
    seen = await passes(tmp_path, get("/api/orders?page=2", bearer=token()))
    assert seen.line == "GET /api/orders?page=2 HTTP/1.1"
    assert seen.one("X-User-Id") == "alice"
    assert seen.one("X-Principal-Type") == "user"
    assert seen.one("Host") == "api.example"


async def test_the_scheme_may_be_in_any_case(tmp_path: Path) -> None:
    """C4"""
    await passes(tmp_path, get("/api/orders", f"authorization: bEaReR {token()}"))


@pytest.mark.parametrize("value", ["Bearer", "Bearer ", "Bearer a b", "Bearer a,b", 'Bearer "a"', "Bearer é"])
async def test_credentials_that_are_no_token68_are_malformed(tmp_path: Path, value: str) -> None:
    """C5, C6"""
    await refused(tmp_path, get("/api/orders", f"Authorization: {value}"), 400, MALFORMED)


@pytest.mark.parametrize("second", ["Bearer {}", "Bearer other", "Basic dTpw"])
async def test_two_authorization_headers_are_malformed(tmp_path: Path, second: str) -> None:
    """C7"""
    good = token()
    data = get("/api/orders", f"Authorization: {second.format(good)}", bearer=good)
    await refused(tmp_path, data, 400, MALFORMED)


async def test_a_token_in_a_form_is_not_looked_at(tmp_path: Path) -> None:
    """C8, C10: the body method does not exist here."""
    form = ("POST", "GET")
    for method in form:
        data = request(
            method,
            "/api/orders",
            "Content-Type: application/x-www-form-urlencoded",
            body=f"access_token={token()}".encode(),
        )
        await refused(tmp_path, data, 401, BARE)


async def test_a_token_in_the_query_is_ignored(tmp_path: Path) -> None:
    """C9"""
    await refused(tmp_path, get(f"/api/orders?access_token={token()}"), 401, BARE)


async def test_a_token_in_the_query_reaches_neither_the_upstream_nor_the_log(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """C9"""
    secret = token(jti="in-the-query")
    seen = await passes(
        tmp_path, get(f"/api/orders?a=1&access_token={secret}&%61ccess_token={secret}&b=2", bearer=token())
    )
    assert seen.target == "/api/orders?a=1&b=2"
    log = capfd.readouterr()
    assert '"path":"/api/orders"' in log.out
    assert secret not in log.out + log.err


async def test_a_cookie_is_not_looked_at_where_it_is_no_source(tmp_path: Path) -> None:
    """C11"""
    await refused(tmp_path, get("/api/other", f"Cookie: session={token()}"), 401, BARE)


async def test_a_token_in_two_places_is_malformed(tmp_path: Path) -> None:
    """C12"""
    data = get("/cookie/", f"Cookie: session={token(sub='bob')}", bearer=token())
    await refused(tmp_path, data, 400, MALFORMED)


# --- C13 to C19: what the token says


@pytest.mark.parametrize(("age", "status"), [(-3, 200), (-5, 401), (-6, 401)])
async def test_a_token_is_good_until_the_leeway_is_over(tmp_path: Path, age: int, status: int) -> None:
    """C13, C14"""
    data = get("/api/orders", bearer=token(exp=NOW + age))
    if status == 200:
        await passes(tmp_path, data)
    else:
        await refused(tmp_path, data, 401, EXPIRED)


async def test_a_token_is_not_good_in_the_second_it_expires(tmp_path: Path) -> None:
    """C15, also when it was remembered."""
    text = GATE + (
        'authenticators: {issuer: {type: jwt, issuer: "https://gw.example", audiences: ["https://api.example"],'
        " jwks_file: keys.json, leeway: 0}}"
    )
    data = get("/api/orders", bearer=token(exp=NOW + 1))
    async with upstream() as app, running(tmp_path, text, app.url) as gateway, connected(gateway.port) as client:
        assert (await client.ask(data)).status == 200
        gateway.clock.now = NOW + 1
        assert (await client.ask(data)).one("WWW-Authenticate") == EXPIRED
        assert len(app.requests) == 1


async def test_a_missing_scope_is_named(tmp_path: Path) -> None:
    """C16"""
    challenge = (
        'Bearer realm="gw", error="insufficient_scope", '
        'error_description="The access token lacks a required scope", scope="orders:read"'
    )
    await refused(tmp_path, get("/api/orders", bearer=token(scope="orders:write")), 403, challenge)


@pytest.mark.parametrize("junk", ["x", "a.b.c", "~~~", "." * 200])
async def test_junk_is_an_invalid_token(tmp_path: Path, junk: str) -> None:
    """C17"""
    await refused(tmp_path, get("/api/orders", bearer=junk), 401, INVALID)


async def test_a_forged_token_is_invalid(tmp_path: Path) -> None:
    forged = make_key("EdDSA", "forger").sign(access_claims(), kid="k1")
    await refused(tmp_path, get("/api/orders", bearer=forged), 401, INVALID)


async def test_an_oversized_token_is_not_looked_into(tmp_path: Path) -> None:
    """C19"""
    await refused(tmp_path, get("/api/orders", bearer=token(padding="x" * 12_000)), 400, MALFORMED)


# --- C22 to C31, C37, C70


@pytest.mark.parametrize("data", [b"", b"Authorization: Bearer junk\r\n"])
async def test_a_refused_head_request_gets_the_same_headers_and_no_body(tmp_path: Path, data: bytes) -> None:
    """C23"""
    async with gate(tmp_path) as (app, gateway), connected(gateway.port) as client:
        rest = b" /api/orders HTTP/1.1\r\nHost: a\r\n" + data + b"\r\n"
        answers = [await client.ask(method + rest) for method in (b"GET", b"HEAD")]
        assert app.connections == 0
    changing = {"X-Request-ID"}
    full, head = ([each for each in answer.headers if each[0] not in changing] for answer in answers)
    assert full == head
    assert (answers[1].status, answers[1].body) == (401, b"")


async def test_an_expired_head_request_is_refused(tmp_path: Path) -> None:
    """C23"""
    await refused(tmp_path, request("HEAD", "/api/orders", bearer=token(exp=NOW - 60)), 401, EXPIRED)


@pytest.mark.parametrize("path", ["/api/orders", "/open/", "/maybe/"])
async def test_spoofed_identity_headers_never_pass(tmp_path: Path, path: str) -> None:
    """C24"""
    spoofed = [
        f"{name}: admin"
        for name in ("X-User-Id", "x-user-id", "X_User_Id", "X.User.Id", "x-USER_id", "X-Auth-Claims", "X_AUTH_CLAIMS")
    ]
    more = ["X-Principal-Type: client", "x_principal_type: client", "X-Forwarded-User: kept"]
    bearer = token() if path.startswith("/api") else None
    seen = await passes(tmp_path, get(path, *spoofed, *more, "Connection: X-User-Id, X-Principal-Type", bearer=bearer))
    about = {name.lower().replace("_", "-").replace(".", "-"): value for name, value in seen.headers}
    assert "admin" not in about.values()
    assert "client" not in about.values()
    assert seen.all("X-User-Id") == (["alice"] if bearer else [])


async def test_a_public_route_does_not_look_at_tokens(tmp_path: Path) -> None:
    """C25"""
    seen = await passes(tmp_path, get("/open/", bearer="junk"))
    assert seen.all("X-User-Id") == []
    assert seen.all("Authorization") == []


async def test_an_optional_route_takes_none_or_a_good_token_but_no_bad_one(tmp_path: Path) -> None:
    """C25"""
    assert (await passes(tmp_path, get("/maybe/"))).all("X-User-Id") == []
    assert (await passes(tmp_path, get("/maybe/", bearer=token()))).all("X-User-Id") == ["alice"]
    await refused(tmp_path, get("/maybe/", bearer="junk"), 401, INVALID)


@pytest.mark.parametrize(
    ("claim", "header"),
    [
        ("a\r\nX-Admin: 1", "a%0D%0AX-Admin: 1"),
        ("한글", "%ED%95%9C%EA%B8%80"),
        ("a\0b", "a%00b"),
        (" x ", "%20x%20"),
        ("100%", "100%25"),
    ],
)
async def test_a_claim_never_splits_a_header(tmp_path: Path, claim: str, header: str) -> None:
    """C26"""
    seen = await passes(tmp_path, get("/api/orders", bearer=token(sub=claim)))
    assert seen.all("X-User-Id") == [header]
    assert seen.all("X-Admin") == []


async def test_an_identity_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    """C26"""
    async with gate(tmp_path, "limits: {identity_bytes: 4096}") as (app, gateway):
        answer = await ask(gateway.port, get("/api/orders", bearer=token(roles=["r" * 100] * 45)))
        assert answer.one("WWW-Authenticate") == INVALID
        assert app.connections == 0


async def test_the_upstreams_own_401_passes_unchanged(tmp_path: Path) -> None:
    """C27"""
    own = b'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Custom x="1"\r\nX-Error: a\r\nContent-Length: 4\r\n\r\nnope'

    async with upstream(lambda wire: _answer_once(wire, own)) as app, running(tmp_path, GATE, app.url) as gateway:
        answer = await ask(gateway.port, get("/api/orders", bearer=token()))
        assert len(app.requests) == 1
    assert (answer.status, answer.body) == (401, b"nope")
    assert answer.headers == [("WWW-Authenticate", 'Custom x="1"'), ("X-Error", "a"), ("Content-Length", "4")]


async def _answer_once(wire: Any, answer: bytes) -> None:
    await wire.request()
    await wire.send(answer)


async def test_a_stronger_authentication_is_asked_for(tmp_path: Path) -> None:
    """C30"""
    challenge = (
        'Bearer realm="gw", error="insufficient_user_authentication", '
        'error_description="A stronger or more recent authentication is required", acr_values="mfa"'
    )
    await refused(tmp_path, get("/api/pay", bearer=token(acr="pwd")), 401, challenge)
    await passes(tmp_path, get("/api/pay", bearer=token(acr="mfa")))


async def test_a_more_recent_authentication_is_asked_for(tmp_path: Path) -> None:
    """C31"""
    challenge = (
        'Bearer realm="gw", error="insufficient_user_authentication", '
        'error_description="A stronger or more recent authentication is required", max_age="300"'
    )
    await refused(tmp_path, get("/api/recent", bearer=token(auth_time=NOW - 301)), 401, challenge)
    await passes(tmp_path, get("/api/recent", bearer=token(auth_time=NOW - 300)))


async def test_keys_are_never_fetched_from_where_a_token_says(tmp_path: Path) -> None:
    """C37"""
    forger = make_key("EdDSA", "forger")
    async with upstream() as attacker:
        headers: list[dict[str, Any]] = [
            {"jku": f"{attacker.url}/jwks"},
            {"x5u": f"{attacker.url}/cert"},
            {"jwk": forger.jwk()},
            {"x5c": ["MIIB"]},
        ]
        for header in headers:
            for kid in ("k1", "forger"):
                await refused(
                    tmp_path, get("/api/x", bearer=forger.sign(access_claims(), kid=kid, **header)), 401, INVALID
                )
        assert attacker.connections == 0


async def test_a_client_is_never_taken_for_the_user_of_the_same_name(tmp_path: Path) -> None:
    """C70"""
    seen = await passes(tmp_path, get("/api/orders", bearer=token(sub="alice", client_id="alice")))
    assert (seen.one("X-User-Id"), seen.one("X-Principal-Type")) == ("alice", "client")


# --- what the upstream sees


async def test_the_clients_token_stays_at_the_gateway(tmp_path: Path) -> None:
    secret = token()
    seen = await passes(tmp_path, get("/api/orders", bearer=secret))
    assert seen.all("Authorization") == []
    cookies = f"Cookie: a=1; session={secret}; b=2"
    seen = await passes(tmp_path, get("/cookie/", cookies))
    assert seen.all("Cookie") == ["a=1; b=2"]
    seen = await passes(tmp_path, get("/open/", cookies))
    assert seen.all("Cookie") == ["a=1; b=2"]
    seen = await passes(tmp_path, get("/cookie/", f"Cookie: session={secret}"))
    assert seen.all("Cookie") == []


async def test_a_route_may_forward_the_token(tmp_path: Path) -> None:
    text = """
routes: [{id: all, match: {path: "/**"}, upstream: app, forward_token: true}]
"""
    secret = token()
    async with upstream() as app, running(tmp_path, text, app.url) as gateway:
        await ask(gateway.port, get("/", bearer=secret))
        assert app.requests[0].all("Authorization") == [f"Bearer {secret}"]


async def test_an_unknown_path_is_not_served(tmp_path: Path) -> None:
    answer = await refused(tmp_path, get("/nowhere", bearer=token()), 404, None)
    assert json.loads(answer.body)["error"] == "not_found"


# --- with servers and clients that nobody here wrote

BIN = """
routes:
  - {id: api, match: {path: "/api/**"}, upstream: app, rewrite: {strip_prefix: /api}}
  - {id: open, match: {path: "/open/**"}, upstream: app, access: public, rewrite: {strip_prefix: /open}}
"""


async def test_httpbin_sees_who_it_is_and_no_token(tmp_path: Path, httpbin: str) -> None:
    async with running(tmp_path, BIN, httpbin) as gateway, httpx.AsyncClient(base_url=gateway.url) as client:
        answer = await client.get("/api/headers", headers={"Authorization": f"Bearer {token()}", "X_User_Id": "root"})
        assert answer.status_code == 200
        headers = answer.json()["headers"]
        assert headers["X-User-Id"] == "alice"
        assert "Authorization" not in headers
        assert "root" not in answer.text


async def test_curl_gets_its_answer_from_httpbin(tmp_path: Path, httpbin: str) -> None:
    async with running(tmp_path, BIN, httpbin) as gateway:
        answer = await curl("-d", "a=1&b=2", "-H", f"Authorization: Bearer {token()}", f"{gateway.url}/api/post")
        assert json.loads(answer)["form"] == {"a": "1", "b": "2"}
        refusal = await curl("-i", f"{gateway.url}/api/post")
        assert refusal.startswith("HTTP/1.1 401 Unauthorized\r\n")


async def test_requests_keeps_its_session_and_its_cookies(tmp_path: Path, httpbin: str) -> None:
    def browse(url: str) -> tuple[dict[str, str], list[int]]:
        with requests.Session() as session:
            session.headers["Authorization"] = f"Bearer {token()}"
            statuses = [session.get(f"{url}/api/status/{status}").status_code for status in (200, 204, 404, 418, 500)]
            session.cookies.set("taste", "sweet")
            return session.get(f"{url}/api/cookies").json()["cookies"], statuses

    async with running(tmp_path, BIN, httpbin) as gateway:
        cookies, statuses = await asyncio.to_thread(browse, gateway.url)
    assert cookies == {"taste": "sweet"}
    assert statuses == [200, 204, 404, 418, 500]


@pytest.mark.parametrize("coding", ["gzip", "deflate", "brotli"])
async def test_compressed_answers_pass_as_they_are(tmp_path: Path, httpbin: str, coding: str) -> None:
    async with running(tmp_path, BIN, httpbin) as gateway, httpx.AsyncClient() as client:
        async with client.stream("GET", f"{gateway.url}/open/{coding}", headers={"Accept-Encoding": coding}) as through:
            raw = b"".join([part async for part in through.aiter_raw()])
        assert through.headers["Content-Encoding"] == {"brotli": "br"}.get(coding, coding)
        assert int(through.headers["Content-Length"]) == len(raw)


async def test_nginx_sees_who_it_is(tmp_path: Path) -> None:
    show = 'return 200 "$request_method $request_uri|$http_x_user_id|$http_authorization|$http_x_principal_type";'
    with nginx_running(tmp_path, show) as url:
        async with running(tmp_path, GATE, url) as gateway:
            answer = await ask(gateway.port, get("/api/orders?a=1", "X_User_Id: root", bearer=token()))
            assert answer.body == b"GET /api/orders?a=1|alice||user"
            anonymous = await ask(gateway.port, get("/open/x", "X_User_Id: root", "X-User-Id: root"))
            assert anonymous.body == b"GET /open/x|||"
