"""Each behaviour that the five source texts describe is there with the preset named after the text.

The numbers R1 to R44 are those of the list of what the texts want. Where two texts contradict each other, so do two
presets.
"""

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.model.session import EndReason
from tests.issuing import Clock
from tests.minting import NOW
from tests.state.redis_servers import RedisServer, server_of, shared, wipe
from tests.trips.running import get
from tests.trips.session_running import (
    OWN_PAGE,
    PASSWORD,
    PassingClock,
    SessionGateway,
    error_of,
    header_of,
    json_of,
    payload_of,
    preset,
    serving,
    set_cookies,
)
from tests.trips.wire import OK, Message, UpstreamWire

SEEDS = ("seed0", "seed1", "seed2", "seed3", "seed4")
ALGORITHMS = {"seed1": "HS256"}
"""The preset itself says which key its text means; EdDSA for the others."""
DAY = 86400
PAGE = "Origin: https://app.example"


@asynccontextmanager
async def seed(number: int, directory: Path, **more: Any) -> AsyncIterator[SessionGateway]:
    """Run the preset of a text, with a backend to log in at where it wants one."""
    name = f"seed{number}"
    async with AsyncExitStack() as stack:
        if number == 2:
            backend = await stack.enter_async_context(Backend().running())
            more |= {"LOGIN_URL": f"{backend.url}/login", "SIGNUP_URL": f"{backend.url}/users"}
        more.setdefault("algorithm", ALGORITHMS.get(name, "EdDSA"))
        yield await stack.enter_async_context(serving(directory, preset(name), **more))


@pytest.fixture
def redis() -> tuple[str, RedisServer]:
    """An empty Redis: its URL, and the server."""
    url, servers = shared("redis")
    wipe(servers)
    return url, servers[0]


class Backend:
    """An application that has users of its own, and endpoints for logging in and signing up."""

    def __init__(self) -> None:
        self.users = {"alice": (PASSWORD, 17)}
        self.url = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Backend"]:
        app = web.Application()
        app.router.add_post("/login", self._login)
        app.router.add_post("/users", self._sign_up)
        async with TestServer(app) as server:
            self.url = str(server.make_url("")).rstrip("/")
            yield self

    async def _login(self, request: web.Request) -> web.Response:
        body = await request.json()
        password, number = self.users.get(body["username"], ("", 0))
        if password != body["password"]:
            return web.json_response({"error": "wrong"}, status=401)
        return _user(body["username"], number)

    async def _sign_up(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body["username"] in self.users:
            return web.json_response({"error": "taken"}, status=409)
        self.users[body["username"]] = body["password"], 18
        return _user(body["username"], 18, status=201)


def _user(name: str, number: int, status: int = 200) -> web.Response:
    email = f"{name}@example.com"
    return web.json_response({"user": {"id": number, "name": name, "email": email}}, status=status)


def access_cookie(token: str) -> str:
    return f"Cookie: __Host-access={token}"


def is_challenged(answer: Message) -> bool:
    """Say whether an answer is a 401 that tells a client to come with another token (RFC 6750 §3)."""
    return answer.status == 401 and 'error="invalid_token"' in (answer.one("WWW-Authenticate") or "")


# --- seed 0: the access token in a cookie, sliding


async def logged_in_page(gate: SessionGateway) -> tuple[str, str]:
    """Log in as a page does; return the access token of its cookie, and the refresh token of the body."""
    answer = await gate.try_login("alice", PAGE)
    assert answer.status == 200
    return set_cookies(answer)["__Host-access"]["value"], json_of(answer)["refresh_token"]


async def test_seed0_a_login_gives_both_tokens_the_access_token_in_a_cookie(tmp_path: Path) -> None:
    """R1, R16, R17, C116"""
    async with seed(0, tmp_path) as gate:
        answer = await gate.try_login("alice", PAGE)
        assert answer.status == 200
        [(name, cookie)] = set_cookies(answer).items()
        assert name == "__Host-access"
        assert {"httponly", "secure"} <= cookie.keys()
        assert (cookie["path"], cookie["samesite"]) == ("/", "Strict")
        body = json_of(answer)
        assert set(body) == {"token_type", "expires_in", "scope", "refresh_token"}
        assert (await gate.ask(get("/api/x", access_cookie(cookie["value"])))).status == 200
        [seen] = gate.app.requests
        assert (seen.one("X-User"), seen.one("Cookie")) == ("alice", None)
        wrong = await gate.post("/auth/login", {"username": "alice", "password": "guessed"}, PAGE)
        assert (wrong.status, wrong.all("Set-Cookie")) == (401, [])


async def test_seed0_an_access_token_lasts_half_an_hour_and_a_refresh_token_a_month(tmp_path: Path) -> None:
    """R11, R14"""
    async with seed(0, tmp_path) as gate:
        access, refresh = await logged_in_page(gate)
        payload = payload_of(access)
        assert 20 * 60 <= payload["exp"] - payload["iat"] <= 30 * 60
        assert (await gate.session_of(refresh)).expires_at == NOW + 30 * DAY


async def test_seed0_both_tokens_are_known_to_the_store_and_outlive_the_process(tmp_path: Path) -> None:
    """R2: stored is what both are made of and checked against, not the tokens (decision 0008)."""
    async with seed(0, tmp_path) as gate:
        access, refresh = await logged_in_page(gate)
        stored = await gate.session_of(refresh)
        payload = payload_of(access)
        assert (stored.sid, stored.generation) == (payload["sid"], payload["gen"])
        assert (stored.access_issued_at, stored.access_expires_at) == (payload["iat"], payload["exp"])
    async with seed(0, tmp_path) as gate:
        assert (await gate.ask(get("/api/x", access_cookie(access)))).status == 200
        assert (await gate.refresh(refresh, PAGE)).status == 200
    content = b"".join(file.read_bytes() for file in tmp_path.glob("state.db*"))
    assert b"alice" in content
    assert access.rpartition(".")[2].encode() not in content
    assert refresh.encode() not in content


async def test_seed0_an_access_token_that_is_over_is_unauthorized_and_the_refresh_token_gets_another(
    tmp_path: Path,
) -> None:
    """R23, R26"""
    async with seed(0, tmp_path) as gate:
        access, refresh = await logged_in_page(gate)
        gate.later(30 * 60)
        assert is_challenged(await gate.ask(get("/api/x", access_cookie(access))))
        answer = await gate.refresh(refresh, PAGE)
        assert answer.status == 200
        cookie = set_cookies(answer)["__Host-access"]
        assert (await gate.ask(get("/api/x", access_cookie(cookie["value"])))).status == 200
        assert "__Secure-refresh" not in set_cookies(answer)
        assert json_of(answer)["refresh_token"] != refresh


async def test_seed0_an_access_token_in_use_is_renewed_in_its_cookie(tmp_path: Path) -> None:
    """R39, R16, C115"""
    async with seed(0, tmp_path) as gate:
        login = await gate.try_login("alice", PAGE)
        first, refresh = set_cookies(login)["__Host-access"], json_of(login)["refresh_token"]
        fresh = await gate.ask(get("/api/x", access_cookie(first["value"])))
        assert (fresh.status, fresh.all("Set-Cookie")) == (200, [])
        gate.later(payload_of(first["value"])["exp"] - NOW - 60)
        answer = await gate.ask(get("/api/x", access_cookie(first["value"])))
        assert (answer.status, answer.one("X-Access-Token"), answer.one("Cache-Control")) == (200, None, "no-store")
        second = set_cookies(answer)["__Host-access"]
        varying = {"value", "max-age"}
        assert {name: first[name] for name in first.keys() - varying} == {
            name: second[name] for name in second.keys() - varying
        }
        assert int(second["max-age"]) > 20 * 60
        assert payload_of(second["value"])["exp"] > payload_of(first["value"])["exp"] + 20 * 60
        gate.later(10 * 60)
        assert (await gate.ask(get("/api/x", access_cookie(first["value"])))).status == 401
        assert (await gate.ask(get("/api/x", access_cookie(second["value"])))).status == 200
        assert (await gate.session_of(refresh)).expires_at > NOW + 30 * DAY + 20 * 60


async def test_seed0_whoever_takes_the_access_token_from_a_header_gets_the_new_one_in_a_header(tmp_path: Path) -> None:
    """R39, R20"""
    changes = {"token_from": ["authorization", {"cookie": "__Host-access"}]}
    async with seed(0, tmp_path, changes=changes) as gate:
        access, _ = await logged_in_page(gate)
        gate.later(payload_of(access)["exp"] - NOW - 60)
        answer = await gate.api(access)
        assert (answer.status, answer.all("Set-Cookie")) == (200, [])
        assert payload_of(answer.one("X-Access-Token") or "")["exp"] > payload_of(access)["exp"]


@pytest.mark.parametrize("left", [0.05, -3.0])
async def test_seed0_a_token_that_runs_out_while_its_request_is_under_way_does_no_harm(
    tmp_path: Path, left: float
) -> None:
    """R40: and so do clocks that are a little apart."""
    clock = Clock(NOW)

    async def slow(wire: UpstreamWire) -> None:
        await wire.request()
        clock.now += 1
        await wire.send(OK)

    async with seed(0, tmp_path, script=slow, clock=clock) as gate:
        access, _ = await logged_in_page(gate)
        clock.now = payload_of(access)["exp"] - left
        assert (await gate.ask(get("/api/x", access_cookie(access)))).status == 200


async def test_seed0_a_refresh_token_in_use_is_extended(tmp_path: Path) -> None:
    """R39: the second half of it."""
    async with seed(0, tmp_path) as gate:
        _, refresh = await logged_in_page(gate)
        for _ in range(3):
            gate.later(29 * DAY)
            answer = await gate.refresh(refresh, PAGE)
            assert answer.status == 200
            refresh = json_of(answer)["refresh_token"]


async def test_seed0_when_the_refresh_token_is_over_the_pair_is_emptied_and_a_login_is_needed(tmp_path: Path) -> None:
    """R37, C83"""
    async with seed(0, tmp_path) as gate:
        _, refresh = await logged_in_page(gate)
        gate.later(30 * DAY)
        answer = await gate.refresh(refresh, PAGE)
        assert is_challenged(answer)
        emptied = set_cookies(answer)["__Host-access"]
        assert (emptied["value"], emptied["max-age"], emptied["path"]) == ("", "0", "/")
        access, _ = await logged_in_page(gate)
        assert (await gate.ask(get("/api/x", access_cookie(access)))).status == 200


async def test_seed0_logging_out_by_the_refresh_token_ends_all_access_tokens(tmp_path: Path) -> None:
    """R42, C118"""
    async with seed(0, tmp_path) as gate:
        first, refresh = await logged_in_page(gate)
        other, _ = await logged_in_page(gate)
        answer = await gate.refresh(refresh, PAGE)
        second, refresh = set_cookies(answer)["__Host-access"]["value"], json_of(answer)["refresh_token"]
        assert (await gate.ask(get("/api/x", access_cookie(first)))).status == 200
        answer = await gate.log_out(refresh, PAGE)
        assert answer.status == 204
        assert set_cookies(answer)["__Host-access"]["max-age"] == "0"
        for access in (first, second):
            assert is_challenged(await gate.ask(get("/api/x", access_cookie(access))))
        assert (await gate.refresh(refresh, PAGE)).status == 401
        assert (await gate.ask(get("/api/x", access_cookie(other)))).status == 200


async def test_seed0_logging_out_can_end_all_sessions_of_the_user(tmp_path: Path) -> None:
    """R42"""
    async with seed(0, tmp_path) as gate:
        pages = [await logged_in_page(gate) for _ in range(3)]
        assert (await gate.log_out(pages[0][1], PAGE, all=True)).status == 204
        for access, refresh in pages:
            assert (await gate.ask(get("/api/x", access_cookie(access)))).status == 401
            assert (await gate.refresh(refresh, PAGE)).status == 401
        gate.later(1)
        access, _ = await logged_in_page(gate)
        assert (await gate.ask(get("/api/x", access_cookie(access)))).status == 200


# --- seed 1: two JWTs, the pair that the server knows, the refresh token in place of the access token


async def test_seed1_both_tokens_are_jwts_signed_with_a_shared_secret(tmp_path: Path) -> None:
    """R6, R1, R10"""
    async with seed(1, tmp_path) as gate:
        pair = await gate.log_in()
        assert header_of(pair["access_token"])["alg"] == "HS256"
        assert header_of(pair["refresh_token"])["typ"] == "rt+jwt"
        assert payload_of(pair["refresh_token"])["exp"] == NOW + 14 * DAY
        assert json_of(await gate.ask(get("/.well-known/jwks.json"))) == {"keys": []}


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256"])
async def test_seed1_the_secret_can_be_a_key_pair_instead(tmp_path: Path, algorithm: str) -> None:
    """R10: then a backend can check a token, and cannot make one."""
    async with seed(1, tmp_path, algorithm=algorithm) as gate:
        pair = await gate.log_in()
        assert header_of(pair["access_token"])["alg"] == algorithm
        assert (await gate.api(pair["access_token"])).status == 200
        [published] = json_of(await gate.ask(get("/.well-known/jwks.json")))["keys"]
        assert published["kid"] == header_of(pair["access_token"])["kid"]
        assert "d" not in published


async def test_seed1_the_access_token_goes_into_the_header_of_each_request(tmp_path: Path) -> None:
    """R15, R23, C1, C3"""
    async with seed(1, tmp_path) as gate:
        pair = await gate.log_in()
        assert (await gate.api(pair["access_token"])).status == 200
        assert gate.app.requests[0].one("X-User") == "alice"
        assert (await gate.api(None)).status == 401
        assert (await gate.ask(get("/api/x", access_cookie(pair["access_token"])))).status == 401
        gate.later(600 + 5)
        assert is_challenged(await gate.api(pair["access_token"]))
        assert len(gate.app.requests) == 1


async def test_seed1_a_refresh_token_in_place_of_the_access_token_gets_the_answer_and_new_tokens(
    tmp_path: Path,
) -> None:
    """R19, R26, C113"""
    async with seed(1, tmp_path) as gate:
        pair = await gate.log_in()
        gate.later(600)
        answer = await gate.api(pair["refresh_token"])
        assert (answer.status, answer.body, answer.one("Cache-Control")) == (200, b"ok", "no-store")
        access, refresh = answer.one("X-Access-Token"), answer.one("X-Refresh-Token")
        assert access not in (None, pair["access_token"])
        assert refresh not in (None, pair["refresh_token"])
        assert (await gate.api(access)).status == 200
        assert all("eyJ" not in str(seen.headers) for seen in gate.app.requests)


async def test_seed1_only_the_access_token_of_the_present_pair_is_good(tmp_path: Path) -> None:
    """R24, R33: an older one is refused although it is signed well and has time left."""
    async with seed(1, tmp_path, changes={"sessions": {"exchange": {"early": "allow"}}}) as gate:
        old = await gate.log_in()
        assert (await gate.api(old["access_token"])).status == 200
        gate.later(60)
        new = json_of(await gate.refresh(old["refresh_token"]))
        assert (await gate.api(old["access_token"])).status == 200  # of a request that is just under way
        gate.later(11)
        await is_refused_soon(gate, old["access_token"])
        assert payload_of(old["access_token"])["exp"] > gate.clock.now
        assert (await gate.api(new["access_token"])).status == 200


async def test_seed1_an_exchange_while_the_access_token_is_good_means_theft_and_both_die(tmp_path: Path) -> None:
    """R32, R33, C105: the four steps of the text."""
    async with seed(1, tmp_path) as gate:
        pair = await gate.log_in()
        assert (await gate.api(pair["access_token"])).status == 200
        gate.later(60)
        stolen = await gate.api(pair["refresh_token"])
        assert is_challenged(stolen)
        assert stolen.one("X-Access-Token") is None
        assert is_challenged(await gate.api(pair["access_token"]))
        gate.later(600)
        assert is_challenged(await gate.refresh(pair["refresh_token"]))
        ended = (await gate.session_of(pair["refresh_token"])).ended
        assert ended is not None
        assert ended.reason is EndReason.EARLY_EXCHANGE
        again = await gate.log_in()
        assert (await gate.api(again["access_token"])).status == 200


async def test_seed1_so_does_one_at_the_refresh_endpoint(tmp_path: Path) -> None:
    """R32, C105"""
    async with seed(1, tmp_path) as gate:
        pair = await gate.log_in()
        other = await gate.log_in()
        assert is_challenged(await gate.refresh(pair["refresh_token"]))
        assert is_challenged(await gate.api(pair["access_token"]))
        assert (await gate.api(other["access_token"])).status == 200


@pytest.mark.parametrize("wait", [0, 5, 60, 570, 1800])
async def test_seed1_who_repeats_an_exchange_whose_answer_was_lost_is_no_thief(tmp_path: Path, wait: int) -> None:
    """R32 with an honest client: it has the old pair only, and the new access token is good."""
    async with seed(1, tmp_path) as gate:
        old = await gate.log_in()
        assert (await gate.api(old["access_token"])).status == 200
        gate.later(600)
        lost = await gate.api(old["refresh_token"])
        gate.later(wait)
        again = await gate.api(old["refresh_token"])
        assert (lost.status, again.status) == (200, 200)
        assert again.one("X-Refresh-Token") == lost.one("X-Refresh-Token")
        assert (await gate.api(again.one("X-Access-Token"))).status == 200
        gate.later(600)
        assert (await gate.api(again.one("X-Refresh-Token"))).status == 200


async def test_seed1_parallel_requests_with_one_refresh_token_are_no_theft(tmp_path: Path) -> None:
    """R32, C75"""
    async with seed(1, tmp_path) as gate:
        old = await gate.log_in()
        gate.later(600)
        answers = await asyncio.gather(*(gate.api(old["refresh_token"]) for _ in range(20)))
        assert {answer.status for answer in answers} == {200}
        [access] = {answer.one("X-Access-Token") for answer in answers}
        [_] = {answer.one("X-Refresh-Token") for answer in answers}
        assert (await gate.api(access)).status == 200


async def test_seed1_a_little_before_its_end_the_access_token_may_be_replaced(tmp_path: Path) -> None:
    """R40 against R32: the slack."""
    async with seed(1, tmp_path) as gate:
        pair = await gate.log_in()
        gate.later(payload_of(pair["access_token"])["exp"] - NOW - 30)
        assert (await gate.api(pair["refresh_token"])).status == 200


async def test_seed1_a_thief_with_an_older_refresh_token_ends_it_for_both(tmp_path: Path) -> None:
    """R32, R33, C77"""
    async with seed(1, tmp_path) as gate:
        stolen = await gate.log_in()
        gate.later(600)
        answer = await gate.api(stolen["refresh_token"])
        new = answer.one("X-Access-Token")
        assert (await gate.api(new)).status == 200
        await gate.seen_in_use(stolen["refresh_token"])
        gate.later(11)
        assert is_challenged(await gate.api(stolen["refresh_token"]))
        assert is_challenged(await gate.api(new))
        assert is_challenged(await gate.api(answer.one("X-Refresh-Token")))


async def test_seed1_a_refresh_token_that_is_over_is_a_401_at_every_place(tmp_path: Path) -> None:
    """R37"""
    async with seed(1, tmp_path) as gate:
        pair = await gate.log_in()
        gate.later(14 * DAY)
        token = pair["refresh_token"]
        for answer in (await gate.api(token), await gate.refresh(token), await gate.exchange(token)):
            assert is_challenged(answer)


async def test_seed1_each_kind_of_token_is_good_for_its_own_use_only(tmp_path: Path) -> None:
    """R28, C43, C114"""
    async with seed(1, tmp_path, changes={"routes": [dict(API, refresh_inline=False)]}) as gate:
        pair = await gate.log_in()
        gate.later(600)
        assert is_challenged(await gate.api(pair["refresh_token"]))
        assert gate.app.requests == []
        assert is_challenged(await gate.refresh(pair["access_token"]))
        assert (await gate.refresh(pair["refresh_token"])).status == 200


API: dict[str, Any] = {"id": "api", "match": {"path": "/api/**"}, "upstream": "app"}


# --- seed 2: OAuth's answer, opaque refresh tokens, sign-up


async def test_seed2_the_answer_of_a_login_is_that_of_oauth(tmp_path: Path) -> None:
    """R5, R6, R13, R1, C72"""
    async with seed(2, tmp_path) as gate:
        answer = await gate.try_login()
        assert (answer.status, answer.one("Cache-Control"), answer.one("Pragma")) == (200, "no-store", "no-cache")
        body = json_of(answer)
        assert {name: type(value) for name, value in body.items()} == {
            "access_token": str,
            "refresh_token": str,
            "token_type": str,
            "expires_in": int,
            "scope": str,
        }
        assert (body["token_type"].lower(), body["expires_in"]) == ("bearer", 20)
        assert body["refresh_token"].count(".") != 2
        wrong = await gate.post("/auth/login", {"username": "alice", "password": "guessed"})
        assert wrong.status == 401


async def test_seed2_whoever_signs_up_gets_both_tokens(tmp_path: Path) -> None:
    """R3"""
    async with seed(2, tmp_path) as gate:
        new = {"username": "carol", "password": "a password of carol's", "newsletter": True}
        answer = await gate.post("/auth/signup", new)
        assert answer.status in (200, 201)
        pair = json_of(answer)
        assert (await gate.api(pair["access_token"])).status == 200
        [seen] = gate.app.requests
        assert (seen.one("X-User"), seen.one("X-User-Name")) == ("18", "carol")
        assert (await gate.exchange(pair["refresh_token"])).status == 200
        taken = await gate.post("/auth/signup", new)
        assert (taken.status, json_of(taken)) == (409, {"error": "taken"})
        login = await gate.post("/auth/login", {"username": "carol", "password": "a password of carol's"})
        assert login.status == 200


async def test_seed2_a_token_says_little_and_nothing_sensitive(tmp_path: Path) -> None:
    """R7: anybody can decode it."""
    async with seed(2, tmp_path) as gate:
        pair = await gate.log_in()
        payload = payload_of(pair["access_token"])
        registered = {"iss", "sub", "aud", "exp", "iat", "jti", "client_id", "sid", "gen", "auth_time"}
        assert set(payload) - {"scope"} == registered | {"name"}
        assert (payload["sub"], payload["name"]) == ("17", "alice")
        assert len(pair["access_token"]) < 700
        assert len(pair["refresh_token"]) < 100


async def test_seed2_an_access_token_that_got_out_is_worth_nothing_20_seconds_later(tmp_path: Path) -> None:
    """R13, R25"""
    async with seed(2, tmp_path) as gate:
        access = (await gate.log_in())["access_token"]
        assert (await gate.api(access)).status == 200
        gate.later(20 + 5)
        assert is_challenged(await gate.api(access))


async def test_seed2_an_access_token_that_got_out_can_be_made_void_at_once(tmp_path: Path) -> None:
    """R25, C126"""
    async with seed(2, tmp_path) as gate:
        pair = await gate.log_in()
        form = {"token": pair["access_token"], "client_id": "web"}
        assert (await gate.post("/oauth/revoke", form, form=True)).status == 200
        assert is_challenged(await gate.api(pair["access_token"]))
        assert (await gate.exchange(pair["refresh_token"])).status == 200


@pytest.mark.parametrize("wait", [0, 10, 3600])
async def test_seed2_an_exchange_wants_the_refresh_token_only(tmp_path: Path, wait: int) -> None:
    """R29, R26, R38, C73: the access token may be good, over, or lost."""
    async with seed(2, tmp_path) as gate:
        pair = await gate.log_in()
        gate.later(wait)
        answer = await gate.exchange(pair["refresh_token"])
        assert answer.status == 200
        new = json_of(answer)
        assert new["expires_in"] == 20
        assert (await gate.api(new["access_token"])).status == 200


async def test_seed2_the_refresh_token_is_judged_at_the_server_and_the_access_token_by_itself(tmp_path: Path) -> None:
    """R27, R22"""
    async with seed(2, tmp_path) as gate:
        pair = await gate.log_in()
        delete_record(tmp_path / "state.db")
        assert (await gate.api(pair["access_token"])).status == 200
        assert error_of(await gate.exchange(pair["refresh_token"])) == (400, "invalid_grant")


async def test_seed2_neither_token_is_kept_or_shown_anywhere(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """R18, C123: what is stored is a record that is worth nothing without the key, and the other way round."""
    async with seed(2, tmp_path) as gate:
        pair = await gate.log_in()
        assert (await gate.api(pair["access_token"], path=f"/api/x?access_token={pair['access_token']}")).status == 200
        new = json_of(await gate.exchange(pair["refresh_token"]))
        await gate.exchange(pair["refresh_token"][:-4] + "AAAA")
        upstream = str(gate.app.requests)
        secrets = [each[name] for each in (pair, new) for name in ("access_token", "refresh_token")]
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir() if file.is_file())
    told = "".join(capfd.readouterr())
    assert "/api/x" in told
    for secret in (*secrets, PASSWORD):
        assert secret not in upstream
        assert secret not in told
        assert secret.encode() not in stored


async def test_seed2_the_refresh_token_need_not_be_shown_to_scripts(tmp_path: Path) -> None:
    """R18, R20: both in cookies, the refresh token's for the endpoints that need it only."""
    changes = {"sessions": {"answer": {"login": "cookies"}}, "token_from": [{"cookie": "__Host-access"}]}
    async with seed(2, tmp_path, changes=changes) as gate:
        answer = await gate.try_login("alice", OWN_PAGE)
        cookies = set_cookies(answer)
        assert set(json_of(answer)) == {"token_type", "expires_in", "scope"}
        assert (cookies["__Secure-refresh"]["path"], "httponly" in cookies["__Secure-refresh"]) == ("/auth", True)
        line = "Cookie: " + "; ".join(f"{name}={cookie['value']}" for name, cookie in cookies.items())
        assert (await gate.ask(get("/api/x", line))).status == 200
        assert gate.app.requests[0].one("Cookie") is None
        answer = await gate.post("/auth/refresh", None, line, OWN_PAGE)
        assert set(set_cookies(answer)) == set(cookies)


async def test_seed2_a_session_that_is_used_goes_on_and_one_that_is_not_ends(tmp_path: Path) -> None:
    """R41, R38"""
    async with seed(2, tmp_path) as gate:
        refresh, idle = (await gate.log_in())["refresh_token"], (await gate.log_in())["refresh_token"]
        for _ in range(3):
            gate.later(DAY - 60)
            refresh = json_of(await gate.exchange(refresh))["refresh_token"]
        assert error_of(await gate.exchange(idle)) == (400, "invalid_grant")
        gate.later(DAY)
        assert error_of(await gate.exchange(refresh)) == (400, "invalid_grant")


async def test_seed2_activity_gives_a_new_access_token_and_keeps_the_session(tmp_path: Path) -> None:
    """R41, C115: without a word of the client about it."""
    async with seed(2, tmp_path) as gate:
        pair = await gate.log_in()
        gate.later(17)
        answer = await gate.api(pair["access_token"])
        access = answer.one("X-Access-Token")
        assert (answer.status, payload_of(access or "")["exp"]) == (200, NOW + 17 + 20)
        assert (await gate.session_of(pair["refresh_token"])).expires_at == NOW + 17 + DAY


async def test_seed2_whether_a_refresh_token_is_good_after_a_long_time_is_a_setting(tmp_path: Path) -> None:
    """R38"""
    async with seed(2, tmp_path, changes={"sessions": {"refresh": {"idle": None}}}) as gate:
        pair = await gate.log_in()
        gate.later(29 * DAY)
        answer = await gate.exchange(pair["refresh_token"])
        assert answer.status == 200
        gate.later(DAY)
        assert error_of(await gate.exchange(json_of(answer)["refresh_token"])) == (400, "invalid_grant")


# --- seed 3: stateless access tokens, forced logout


def flipped(text: str, index: int) -> str:
    return text[:index] + ("A" if text[index] != "A" else "B") + text[index + 1 :]


async def test_seed3_a_token_that_was_changed_anywhere_is_refused(tmp_path: Path) -> None:
    """R21, C63"""
    async with seed(3, tmp_path) as gate:
        access = (await gate.log_in())["access_token"]
        for index in range(0, len(access) - 2, 23):
            if access[index] != ".":
                answer = await gate.api(flipped(access, index))
                assert (answer.status, json_of(answer)["error"]) == (401, "invalid_token")
        assert gate.app.requests == []
        assert (await gate.api(access)).status == 200
        assert gate.app.requests[0].one("X-User") == "alice"


async def test_seed3_any_replica_takes_a_token_and_any_replica_exchanges(
    tmp_path: Path, redis: tuple[str, RedisServer]
) -> None:
    """R22, R21: no sticky sessions."""
    more = {"STATE_URL": redis[0], "clock": PassingClock()}
    async with seed(3, tmp_path, **more) as one, seed(3, tmp_path, **more) as other:
        pair = await one.log_in()
        assert (await other.api(pair["access_token"])).status == 200
        new = json_of(await other.exchange(pair["refresh_token"]))
        assert (await one.api(new["access_token"])).status == 200
        assert (await one.exchange(new["refresh_token"])).status == 200


async def test_seed3_a_token_is_judged_without_the_store(tmp_path: Path) -> None:
    """R22, R27, C100: the refresh token is not."""
    with server_of(tmp_path / "redis") as server:
        url = f"redis://127.0.0.1:{server.port}"
        async with seed(3, tmp_path, STATE_URL=url, clock=PassingClock()) as gate:
            pair, other = await gate.log_in(), await gate.log_in("bob")
            assert (await gate.api(pair["access_token"])).status == 200
            await asyncio.to_thread(server.kill)
            assert (await gate.api(pair["access_token"])).status == 200
            assert (await gate.api(other["access_token"])).status == 200  # never seen before
            answer = await gate.exchange(pair["refresh_token"])
            assert answer.status == 503
            assert answer.one("Retry-After")


async def test_seed3_the_access_token_is_short_and_the_refresh_token_long(tmp_path: Path) -> None:
    """R14, R7"""
    async with seed(3, tmp_path) as gate:
        pair = await gate.log_in()
        assert 280 <= pair["expires_in"] <= 300
        assert (await gate.session_of(pair["refresh_token"])).expires_at == NOW + 14 * DAY
        assert "name" not in payload_of(pair["access_token"])


@pytest.fixture(params=["sqlite", "redis"])
def state_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the state is, empty."""
    if request.param == "sqlite":
        return "sqlite:state.db"
    url, servers = shared("redis")
    wipe(servers)
    return url


async def test_seed3_an_operator_throws_a_user_out_at_the_command_line(tmp_path: Path, state_url: str) -> None:
    """R43"""
    async with seed(3, tmp_path, STATE_URL=state_url, clock=PassingClock()) as gate:
        pairs, other = [await gate.log_in(), await gate.log_in()], await gate.log_in("bob")
        assert "2 ended" in await end_sessions(tmp_path, state_url, "alice")
        await are_out(gate, *pairs)
        assert (await gate.api(other["access_token"])).status == 200


async def end_sessions(directory: Path, state_url: str, subject: str) -> str:
    """Run `gateway sessions end` with the preset, in a process of its own."""
    config = directory / "seed3.yaml"
    config.write_text(preset("seed3"))
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "gateway", "sessions", "end", "--config", str(config), "--subject", subject],
        env={**os.environ, "STATE_URL": state_url},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def are_out(gate: SessionGateway, *pairs: dict[str, Any]) -> None:
    """Wait until the access tokens are refused, as they are everywhere soon; the refresh tokens are at once."""
    for pair in pairs:
        assert error_of(await gate.exchange(pair["refresh_token"])) == (400, "invalid_grant")
        await is_refused_soon(gate, pair["access_token"])


async def is_refused_soon(gate: SessionGateway, access_token: str) -> None:
    """Wait until a revocation that was made elsewhere, or for later, has come into effect."""
    async with asyncio.timeout(5):
        while not is_challenged(await gate.api(access_token)):
            await asyncio.sleep(0.02)


async def test_seed3_an_operator_throws_a_user_out_over_http(tmp_path: Path, state_url: str) -> None:
    """R43, C120"""
    async with seed(3, tmp_path, STATE_URL=state_url, clock=PassingClock()) as gate:
        pairs, other = [await gate.log_in(), await gate.log_in()], await gate.log_in("bob")
        answer = await gate.admin("DELETE", "/subjects/alice/sessions")
        assert (answer.status, json_of(answer)) == (200, {"ended": 2})
        for pair in pairs:
            assert is_challenged(await gate.api(pair["access_token"]))  # at once, where it was asked for
        await are_out(gate, *pairs)
        assert (await gate.api(other["access_token"])).status == 200
        assert (await gate.exchange(other["refresh_token"])).status == 200


async def test_seed3_deleting_the_refresh_token_from_the_store_throws_the_user_out(
    tmp_path: Path, state_url: str
) -> None:
    """R43, C121: literally. The access token lives to its end, which is why it is short."""
    async with seed(3, tmp_path, STATE_URL=state_url, clock=PassingClock()) as gate:
        pair, other = await gate.log_in(), await gate.log_in("bob")
        sid = payload_of(pair["access_token"])["sid"]
        if state_url.startswith("sqlite:"):
            delete_record(tmp_path / "state.db", sid)
        else:
            [server] = shared("redis")[1]
            [key] = server.run("KEYS", f"*{sid}*")
            assert server.run("DEL", key) == 1
        assert error_of(await gate.exchange(pair["refresh_token"])) == (400, "invalid_grant")
        assert (await gate.api(pair["access_token"])).status == 200
        assert (await gate.exchange(other["refresh_token"])).status == 200
        again = await gate.log_in()
        assert (await gate.exchange(again["refresh_token"])).status == 200


def delete_record(file: Path, sid: str | None = None) -> None:
    """Delete one session with SQL, or all."""
    with sqlite3.connect(file) as connection:
        done = connection.execute("DELETE FROM sessions WHERE sid = coalesce(?, sid)", (sid,))
        assert done.rowcount == 1
    connection.close()


# --- seed 4: Redis, one session per user, the exchange wants the expired access token


@pytest.fixture(params=["sqlite", "redis"])
def fourth(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the preset of seed 4 is run with: Redis, as it says, and SQLite, where time can be set."""
    if request.param == "sqlite":
        return {}
    url, servers = shared("redis")
    wipe(servers)
    return {"STATE_URL": url, "clock": PassingClock()}


async def test_seed4_users_log_in_with_the_gateways_own_credentials(tmp_path: Path, fourth: dict[str, Any]) -> None:
    """R9, R1, R12"""
    async with seed(4, tmp_path, **fourth) as gate:
        pair = await gate.log_in()
        assert pair["expires_in"] == 3600
        payload = payload_of(pair["refresh_token"])
        assert payload["exp"] - payload["iat"] == DAY
        wrong = await gate.post("/auth/login", {"username": "alice", "password": "guessed"})
        nobody = await gate.post("/auth/login", {"username": "nobody", "password": "guessed"})
        assert (wrong.status, nobody.status) == (401, 401)
        assert json_of(wrong) | {"request_id": ""} == json_of(nobody) | {"request_id": ""}


async def test_seed4_tokens_say_how_they_are_signed_who_it_is_and_when_they_end(tmp_path: Path) -> None:
    """R4, R8, R6"""
    async with seed(4, tmp_path) as gate:
        pair = await gate.log_in()
        header, payload = header_of(pair["access_token"]), payload_of(pair["access_token"])
        assert (header["alg"], header["typ"]) == ("EdDSA", "at+jwt")
        assert (payload["sub"], payload["iat"], payload["exp"]) == ("alice", NOW, NOW + 3600)
        assert payload_of(pair["refresh_token"])["exp"] == NOW + DAY


async def test_seed4_the_session_is_in_redis_and_its_key_has_an_end(
    tmp_path: Path, redis: tuple[str, RedisServer]
) -> None:
    """R36, R35: `key = userId, value = refreshToken`."""
    url, server = redis
    async with seed(4, tmp_path, STATE_URL=url, clock=PassingClock()) as gate:
        pair = await gate.log_in()
        [key] = server.run("KEYS", f"*{payload_of(pair['access_token'])['sid']}*")
        assert DAY < server.run("TTL", key) <= DAY + 2 * 3600  # a while longer than the token: to know what it was
        dump = b"".join(server.run("DUMP", each) or b"" for each in server.run("KEYS", "*"))
        assert pair["refresh_token"].rpartition(".")[2].encode() not in dump
        server.run("FLUSHALL")
        assert error_of(await gate.refresh(pair["refresh_token"], access_token=pair["access_token"]))[0] == 401


async def test_seed4_while_the_access_token_is_good_there_is_no_new_one(tmp_path: Path, fourth: dict[str, Any]) -> None:
    """R31, C104"""
    async with seed(4, tmp_path, **fourth) as gate:
        pair = await gate.log_in()
        for ask in (gate.exchange, gate.refresh):
            answer = await ask(pair["refresh_token"], access_token=pair["access_token"])
            assert answer.status == 400
            assert 3590 <= int(answer.one("Retry-After") or 0) <= 3600
        assert (await gate.api(pair["access_token"])).status == 200
        assert (await gate.session_of(pair["refresh_token"])).generation == 1


async def test_seed4_the_expired_access_token_of_the_pair_is_part_of_the_exchange(tmp_path: Path) -> None:
    """R30, R34, R33, C107, C108"""
    async with seed(4, tmp_path) as gate:
        old = await gate.log_in()
        gate.later(3600)
        alone = await gate.refresh(old["refresh_token"])
        assert error_of(alone) == (400, "invalid_request")
        answer = await gate.refresh(old["refresh_token"], access_token=old["access_token"])
        assert answer.status == 200
        new = json_of(answer)
        assert new["access_token"] != old["access_token"]
        assert new["refresh_token"] != old["refresh_token"]
        assert (await gate.api(new["access_token"])).status == 200
        gate.later(3600)
        in_header = f"Authorization: Bearer {new['access_token']}"
        assert (await gate.refresh(new["refresh_token"], in_header)).status == 200


async def test_seed4_a_stolen_refresh_token_with_another_access_token_is_worth_nothing(tmp_path: Path) -> None:
    """R30, C109, C110"""
    async with seed(4, tmp_path) as gate:
        hers, his = await gate.log_in(), await gate.log_in("bob")
        gate.later(3600)
        for access in (his["access_token"], flipped(hers["access_token"], len(hers["access_token"]) - 9), "junk"):
            answer = await gate.exchange(hers["refresh_token"], access_token=access)
            assert error_of(answer) == (400, "invalid_grant")
        assert (await gate.exchange(hers["refresh_token"], access_token=hers["access_token"])).status == 200


async def test_seed4_the_pair_is_exchanged_in_redis_when_its_time_has_come(
    tmp_path: Path, redis: tuple[str, RedisServer]
) -> None:
    """R34, R30, R31, R36: with access tokens of two seconds, since nobody can set Redis's clock."""
    changes = {"sessions": {"access": {"lifetime": 2}}}
    async with seed(4, tmp_path, STATE_URL=redis[0], clock=PassingClock(), changes=changes) as gate:
        old = await gate.log_in()
        answer = await gate.refresh(old["refresh_token"], access_token=old["access_token"])
        while answer.status == 400:
            await asyncio.sleep(int(answer.one("Retry-After") or 0))
            answer = await gate.refresh(old["refresh_token"], access_token=old["access_token"])
        assert answer.status == 200
        new = json_of(answer)
        again = await gate.refresh(old["refresh_token"], access_token=old["access_token"])
        assert json_of(again)["refresh_token"] == new["refresh_token"] != old["refresh_token"]
        assert (await gate.api(new["access_token"])).status == 200


async def test_seed4_a_new_login_takes_the_place_of_the_old_one(tmp_path: Path, fourth: dict[str, Any]) -> None:
    """R35, C111"""
    async with seed(4, tmp_path, **fourth) as gate:
        first, other = await gate.log_in(), await gate.log_in("bob")
        second = await gate.log_in()
        assert is_challenged(await gate.api(first["access_token"]))
        refused = await gate.exchange(first["refresh_token"], access_token=first["access_token"])
        assert error_of(refused) == (400, "invalid_grant")
        for pair in (second, other):
            assert (await gate.api(pair["access_token"])).status == 200
        assert len(await gate.sessions.sessions_of("alice")) == 1


async def test_seed4_of_many_logins_at_once_one_is_left(tmp_path: Path, fourth: dict[str, Any]) -> None:
    """R35"""
    async with seed(4, tmp_path, **fourth) as gate:
        pairs = await asyncio.gather(*(gate.log_in() for _ in range(5)))
        statuses = [(await gate.api(pair["access_token"])).status for pair in pairs]
        assert sorted(statuses) == [200, 401, 401, 401, 401]


async def test_seed4_the_newcomer_can_be_refused_instead(tmp_path: Path, fourth: dict[str, Any]) -> None:
    """R35, C112"""
    changes = {"sessions": {"limit": {"on_excess": "reject"}}}
    async with seed(4, tmp_path, changes=changes, **fourth) as gate:
        first = await gate.log_in()
        refused = await gate.try_login()
        assert (refused.status, json_of(refused)["error"]) == (403, "too_many_sessions")
        assert (await gate.api(first["access_token"])).status == 200


async def test_seed4_a_day_later_one_must_log_in(tmp_path: Path) -> None:
    """R12, R37: without a renewal in between the refresh token is over, and then with any."""
    async with seed(4, tmp_path) as gate:
        pair = await gate.log_in()
        gate.later(23 * 3600)
        pair = json_of(await gate.refresh(pair["refresh_token"], access_token=pair["access_token"]))
        assert payload_of(pair["refresh_token"])["exp"] == NOW + DAY
        gate.later(3600)
        answer = await gate.refresh(pair["refresh_token"], access_token=pair["access_token"])
        assert is_challenged(answer)
        assert {cookie["max-age"] for cookie in set_cookies(answer).values()} == {"0"}


@pytest.mark.parametrize("kind", ["json", "headers", "cookies"])
async def test_seed4_how_tokens_are_delivered_is_a_setting(tmp_path: Path, kind: str) -> None:
    """R20"""
    changes = {"sessions": {"answer": {"login": kind, "refresh": kind}}}
    async with seed(4, tmp_path, changes=changes) as gate:
        login = await gate.try_login("alice", OWN_PAGE)
        access, refresh = tokens_of(login)
        gate.later(3600)
        if kind == "cookies":
            jar = f"Cookie: __Host-access={access}; __Secure-refresh={refresh}"
            answer = await gate.post("/auth/refresh", None, jar, OWN_PAGE)
        else:
            answer = await gate.refresh(refresh, access_token=access)
        assert answer.status == 200
        new_access, new_refresh = tokens_of(answer)
        assert {access, refresh}.isdisjoint({new_access, new_refresh})
        assert (await gate.api(new_access)).status == 200


def tokens_of(answer: Message) -> tuple[str, str]:
    """Return both tokens, wherever in the answer they are."""
    body, cookies = json_of(answer), set_cookies(answer)
    found = [
        (answer.one("X-Access-Token"), answer.one("X-Refresh-Token")),
        (body.get("access_token"), body.get("refresh_token")),
        tuple(cookies.get(name, {}).get("value") for name in ("__Host-access", "__Secure-refresh")),
    ]
    [(access, refresh)] = [pair for pair in found if any(pair)]
    assert access is not None
    assert refresh is not None
    return access, refresh


# --- all of them: a client that knows nothing but the guide


class Phone:
    """A client: it uses its access token; on a 401 it renews and tries once more; when that fails, it logs in."""

    def __init__(self, gate: SessionGateway, seed: str) -> None:
        self._gate = gate
        self._seed = seed
        self._access = self._refresh = ""
        self.logins = self.renewals = 0

    async def get(self) -> int:
        """Return the status of the answer in the end."""
        answer = await self._ask()
        if answer.status == 401 and self._refresh and await self._renew():
            answer = await self._ask()
        if answer.status == 401:
            await self._log_in()
            answer = await self._ask()
        return answer.status

    async def _ask(self) -> Message:
        if self._seed == "seed0":
            answer = await self._gate.ask(get("/api/x", *([access_cookie(self._access)] if self._access else [])))
        else:
            answer = await self._gate.api(self._access or None)
        return self._keep(answer)

    async def _renew(self) -> bool:
        self.renewals += 1
        if self._seed == "seed1":
            answer = self._keep(await self._gate.api(self._refresh))
        elif self._seed == "seed4":
            answer = await self._gate.refresh(self._refresh, access_token=self._access)
        else:
            answer = await self._gate.refresh(self._refresh, PAGE)
        if answer.status == 200 and self._seed != "seed1":
            self._take(answer)
        if answer.status == 401:
            self._access = self._refresh = ""
        return answer.status == 200

    async def _log_in(self) -> None:
        self.logins += 1
        self._take(await self._gate.try_login("alice", PAGE))

    def _take(self, answer: Message) -> None:
        assert answer.status == 200, answer.body
        body, cookies = json_of(answer), set_cookies(answer)
        self._refresh = body["refresh_token"]
        self._access = body.get("access_token") or cookies["__Host-access"]["value"]

    def _keep(self, answer: Message) -> Message:
        """Keep the new tokens that came beside an answer."""
        cookie = set_cookies(answer).get("__Host-access", {}).get("value")
        self._access = answer.one("X-Access-Token") or cookie or self._access
        self._refresh = answer.one("X-Refresh-Token") or self._refresh
        return answer


@pytest.mark.parametrize("name", SEEDS)
async def test_a_client_renews_on_a_401_and_logs_in_only_when_it_must(tmp_path: Path, name: str) -> None:
    """R44, R26, R14"""
    async with seed(int(name[-1]), tmp_path) as gate:
        phone = Phone(gate, name)
        assert await phone.get() == 200
        for number in range(1, 5):
            gate.later(2 * 3600)
            assert await phone.get() == 200
            assert await phone.get() == 200
            assert (phone.logins, phone.renewals) == (1, number)
        gate.later(31 * DAY)
        assert await phone.get() == 200
        assert (phone.logins, phone.renewals) == (2, 5)
