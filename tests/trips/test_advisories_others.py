"""What Skipper, Authelia, caddy-security and mod_auth_openidc were broken by, tried here: docs/security.md."""

import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.trips.attacking import Target, as_admin, attacked, hello
from tests.trips.running import get, request, token
from tests.trips.session_running import OWN_PAGE, SessionGateway, json_of, payload_of, preset, serving, set_cookies
from tests.trips.test_advisories_oauth2_proxy import leads_nowhere_else
from tests.trips.test_advisories_pomerium import ADMIN
from tests.trips.wire import Message, upstream

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])
"""The judgement is the same on every event loop."""


@pytest.fixture
async def target(tmp_path: Path) -> AsyncIterator[Target]:
    async with attacked(tmp_path) as target:
        yield target


# --- Skipper


def chunked(path: str, *pieces: bytes) -> bytes:
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))
    return request("POST", path, "Transfer-Encoding: chunked", bearer=as_admin()) + body


async def test_cve_2026_50197_a_limit_on_bodies_holds_for_chunks_too(tmp_path: Path) -> None:
    """A body of unknown length is counted as it comes; one beyond the limit never arrives whole."""
    async with attacked(tmp_path, "limits: {body_bytes: 1000}") as target:
        assert (await target.ask(chunked("/api/x", b"x" * 500, b"x" * 500))).status == 200
        for attack in (
            chunked("/api/x", b"x" * 1001),
            chunked("/api/x", *[b"x"] * 1001),
            chunked("/api/x", b"x" * 1000, b"x"),
            request("POST", "/api/x", bearer=as_admin(), body=b"x" * 1001),
        ):
            whole = len(target.app.requests)
            assert (await target.ask(attack)).status == 413
            assert len(target.app.requests) == whole


async def test_cve_2022_34296_nothing_of_a_query_is_matched_or_believed(target: Target) -> None:
    for query in (
        "?access_token=",
        "?a=1;access_token=",
        "?a&ACCESS%5FTOKEN=",
        "?%61ccess_token=",
        "?bearer_token=",
        "?jwt=",
    ):
        await target.refuses(get(f"/admin/x{query}{as_admin()}"), 401)
        seen = await target.passes(get(f"/public/x{query}{as_admin()}"))
        assert as_admin() not in seen.target or "access" not in query.lower()


async def test_cve_2022_38580_no_request_chooses_where_it_goes(target: Target) -> None:
    async with upstream() as elsewhere:
        place = elsewhere.url.removeprefix("http://")
        for name in (
            "X-Skipper-Proxy",
            "X-Forwarded-Host",
            "X-Forwarded-Server",
            "X-Host",
            "X-Upstream",
            "Destination",
        ):
            seen = await target.passes(get("/public/x", f"{name}: {place}", f"{name}-Scheme: http"))
            assert seen.one("Host") == "api.example"
            assert seen.one("X-Forwarded-Host") == "api.example"
        assert (await target.passes(hello("/public/x", host=place))).one("Host") == place
        await target.refuses(get(f"{elsewhere.url}/public/x"), 400)
        await target.refuses(f"GET //{place}/public/x HTTP/1.1\r\nHost: api.example\r\n\r\n".encode(), 400)
        await target.refuses(f"GET @{place}/public/x HTTP/1.1\r\nHost: api.example\r\n\r\n".encode(), 400)
        assert elsewhere.connections == 0


# --- Authelia


@pytest.mark.parametrize(
    "host", ["a.b.wild.example", "a.B.wild.example", "A.b.WILD.example.", "x.a.B.wild.eXample:443"]
)
async def test_cve_2026_48794_the_stricter_of_two_wildcards_holds_in_whatever_case(target: Target, host: str) -> None:
    await target.refuses(hello("/x", host=host), 401)
    assert (await target.ask(hello("/x", host="a.wild.example"))).status == 200


async def guessed(gate: SessionGateway, *names: str) -> list[int]:
    """Try a wrong password for each name; return the statuses."""
    return [(await gate.post("/auth/login", {"username": name, "password": "guessed"})).status for name in names]


async def test_cve_2025_24806_all_names_of_an_account_are_counted_together(tmp_path: Path) -> None:
    async with serving(tmp_path, preset("seed0"), changes=ADMIN) as gate:
        names = ["alice", "alice ", " alice", "al\u200bice", "\uff41lice", "alic\u00e9", "alice", "alice"]
        statuses = await guessed(gate, *names)
        assert statuses[:5] == [401] * 5
        assert 429 in statuses[5:]
        assert (await guessed(gate, "bob"))[0] == 401


async def test_cve_2026_47203_so_are_names_in_another_case(tmp_path: Path) -> None:
    async with serving(tmp_path, preset("seed0"), changes=ADMIN) as gate:
        statuses = await guessed(gate, "john", "John", "JOHN", "jOhn", "joHN", "johN", "jOHN")
        assert statuses[:5] == [401] * 5
        assert 429 in statuses[5:]


async def test_ghsa_x883_2vmg_xwf7_nothing_remembered_delays_a_decision(tmp_path: Path) -> None:
    async with serving(tmp_path, preset("seed0"), changes=ADMIN) as gate:
        pair = await gate.log_in()
        for _ in range(3):
            assert (await gate.api(pair["access_token"])).status == 200
        sid = (await gate.session_of(pair["refresh_token"])).sid
        assert (await gate.admin("DELETE", f"/sessions/{sid}")).status in (200, 204)
        assert (await gate.api(pair["access_token"])).status == 401


# --- caddy-security


async def test_cve_2024_21492_a_session_ends_with_the_logout(tmp_path: Path) -> None:
    async with serving(tmp_path, preset("seed0"), changes=ADMIN) as gate:
        pair, other = await gate.log_in(), await gate.log_in()
        assert (await gate.log_out(pair["refresh_token"])).status == 204
        assert (await gate.api(pair["access_token"])).status == 401
        assert (await gate.exchange(pair["refresh_token"])).status == 400
        assert (await gate.api(other["access_token"])).status == 200
        assert (await gate.log_out(other["refresh_token"], all=True)).status == 204
        assert (await gate.api(other["access_token"])).status == 401


async def test_cve_2024_21494_no_header_makes_one_client_another(tmp_path: Path) -> None:
    """Whoever guesses is slowed by the address it has, not by the one it says."""
    async with serving(tmp_path, preset("seed0"), changes=ADMIN) as gate:
        statuses = []
        for number in range(8):
            spoof = [
                f"{name}: 203.0.113.{number}" for name in ("X-Forwarded-For", "X-Real-IP", "Client-IP", "Forwarded")
            ]
            body = {"username": "alice", "password": "guessed"}
            own = f"X-Gateway-Client-Address: 203.0.113.{number}"
            statuses.append((await gate.post("/auth/login", body, *spoof, own)).status)
        assert statuses[:5] == [401] * 5
        assert 429 in statuses[5:]


async def test_cve_2024_21495_no_seed_foretells_a_token(tmp_path: Path) -> None:
    found: list[dict[str, Any]] = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        async with serving(tmp_path / name, preset("seed0"), changes=ADMIN) as gate:
            random.seed(0)
            found += [await gate.log_in() for _ in range(3)]
    tokens = [each["refresh_token"] for each in found]
    sids = [payload_of(each["access_token"])["sid"] for each in found]
    assert len(set(sids)) == len({each[:20] for each in tokens}) == len(found)


PAYLOAD = "<script>alert(1)</script>"


async def test_cve_2024_21496_no_answer_repeats_what_was_sent(tmp_path: Path) -> None:
    async with serving(tmp_path, preset("seed0"), changes=ADMIN) as gate:
        headers = (f"Referer: {PAYLOAD}", f"User-Agent: {PAYLOAD}", f"X-Request-ID: {PAYLOAD}", f"Origin: {PAYLOAD}")
        answers: list[Message] = [
            await gate.ask(get("/api/%3Cscript%3Ealert(1)", *headers)),
            await gate.ask(get(f"/{PAYLOAD}", *headers)),
            await gate.ask(get("/api/x", *headers, bearer=PAYLOAD)),
            await gate.ask(hello("/api/x", *headers, host=PAYLOAD)),
            await gate.post("/auth/login", {"username": PAYLOAD, "password": PAYLOAD}),
            await gate.post("/auth/logout", {"redirect": PAYLOAD}, form=True),
            await gate.exchange(PAYLOAD),
            await gate.post("/oauth/token", {"grant_type": PAYLOAD, PAYLOAD: PAYLOAD}, form=True),
        ]
        for answer in answers:
            assert answer.status >= 400
            assert "alert" not in f"{answer.headers}{answer.body!r}"
            assert answer.one("Content-Type") == "application/json"
            json.loads(answer.body)


async def test_cve_2024_21497_no_parameter_redirects_elsewhere(tmp_path: Path) -> None:
    await leads_nowhere_else(
        tmp_path, "https://evil.example", "https://evil.example/home", "https://app.example/home/.."
    )


async def test_cve_2024_21498_no_header_makes_the_gateway_fetch(tmp_path: Path) -> None:
    async with upstream() as elsewhere, serving(tmp_path, preset("seed0"), changes=ADMIN) as gate:
        place = elsewhere.url.removeprefix("http://")
        for name in ("X-Forwarded-Host", "Host", "X-Original-Host", "Referer", "Origin"):
            data = hello("/.well-known/oauth-authorization-server", f"{name}: {place}")
            answer = await gate.ask(data if name != "Host" else hello("/.well-known/jwks.json", host=place))
            assert place.encode() not in answer.body
        assert elsewhere.connections == 0


async def test_cve_2024_21499_what_the_gateway_says_of_itself_is_configured(tmp_path: Path) -> None:
    """Forwarding headers change neither the issuer's URLs nor the cookies' `Secure`."""
    changes = {"answer": {"login": "cookies", "refresh": "cookies"}}
    spoof = ("X-Forwarded-Proto: http", "X-Forwarded-Host: evil.example", "Forwarded: proto=http;host=evil.example")
    async with serving(tmp_path, preset("seed0"), changes={"sessions": changes}) as gate:
        metadata = json_of(await gate.ask(get("/.well-known/oauth-authorization-server", *spoof)))
        assert metadata["issuer"] == "https://gw.example"
        assert all(url.startswith("https://gw.example/") for name, url in metadata.items() if name.endswith("endpoint"))
        answer = await gate.try_login("alice", OWN_PAGE, *spoof)
        assert all("secure" in cookie and "domain" not in cookie for cookie in set_cookies(answer).values())


async def test_cve_2024_21500_guessing_is_slowed(tmp_path: Path) -> None:
    async with serving(tmp_path, preset("seed0"), changes=ADMIN) as gate:
        assert (await guessed(gate, *["alice"] * 8))[-1] == 429


# --- mod_auth_openidc


@pytest.mark.parametrize(
    "cookies",
    [
        "__Host-access_chunks=99999999; session_chunks=99999999",
        "session_0=a; session_1=b; session_chunks=-1",
        "; ".join(f"session_{number}=x" for number in range(900)),
        "session=" + "a" * 7000,
        "session=" + "=" * 500,
    ],
)
async def test_cve_2024_24814_no_cookie_makes_the_gateway_work(target: Target, cookies: str) -> None:
    """No cookie is split over several, so none says of how many pieces it is."""
    await target.refuses(get("/cookie/x", f"Cookie: {cookies}"), 400, 401, 431)
    assert (await target.ask(get("/public/x", f"Cookie: {cookies}"))).status in (200, 431)


@pytest.mark.parametrize(
    "cookies", ["", ";", ";;;", "=", "=;=", " ; ", "session", "session=", ",", "\t", "=session", "; ;=,"]
)
async def test_cve_2023_28625_an_empty_cookie_is_no_trouble(target: Target, cookies: str) -> None:
    await target.refuses(get("/cookie/x", f"Cookie: {cookies}"), 400, 401)
    assert not (await target.passes(get("/public/x", f"Cookie: {cookies}"))).all("Cookie") or "session" not in cookies


async def test_cve_2022_23527_a_tab_in_a_redirect(tmp_path: Path) -> None:
    await leads_nowhere_else(
        tmp_path, "/\t/evil.example", "/%09/evil.example", "\t//evil.example", "/\x0b/evil.example"
    )


async def test_ghsa_59jp_rwph_878r_who_is_refused_gets_nothing_of_the_upstream(target: Target) -> None:
    """A POST without a session answered with the page behind it, too."""
    for method in ("GET", "POST", "PUT", "HEAD", "OPTIONS", "PROPFIND"):
        answer = await target.refuses(request(method, "/admin/x", body=b"a=b"), 401)
        assert answer.body != b"ok"
        assert answer.one("Cache-Control") == "no-store"
    preflight = ("Origin: https://app.example", "Access-Control-Request-Method: POST")
    answer = await target.refuses(request("OPTIONS", "/admin/x", *preflight), 204)
    assert answer.body == b""
    await target.refuses(request("OPTIONS", "/admin/x", "Origin: https://app.example"), 401)
    await target.refuses(request("POST", "/admin/x", *preflight, "X-HTTP-Method-Override: OPTIONS", body=b""), 401)
    assert (await target.ask(get("/api/x", bearer=token()))).status == 200
