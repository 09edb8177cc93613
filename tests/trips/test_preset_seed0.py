"""What the text of seed 0 describes is there with its preset: the access token in a cookie, sliding sessions."""

from pathlib import Path

import pytest

from tests.issuing import Clock
from tests.minting import NOW
from tests.trips.preset_running import (
    DAY,
    PAGE,
    access_cookie,
    is_challenged,
    seed,
)
from tests.trips.running import get
from tests.trips.session_running import (
    SessionGateway,
    json_of,
    payload_of,
    set_cookies,
)
from tests.trips.wire import OK, UpstreamWire


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
