"""What the text of seed 2 describes is there with its preset: OAuth's answer, opaque refresh tokens, sign-up."""

from pathlib import Path

import pytest

from tests.minting import NOW
from tests.trips.preset_running import (
    DAY,
    delete_record,
    is_challenged,
    seed,
)
from tests.trips.running import get
from tests.trips.session_running import (
    OWN_PAGE,
    PASSWORD,
    error_of,
    json_of,
    payload_of,
    set_cookies,
)


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
