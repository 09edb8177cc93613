"""What the text of seed 4 describes is there with its preset: Redis, one session per user, both tokens to exchange."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.minting import NOW
from tests.state.redis_servers import RedisServer
from tests.trips.preset_running import (
    DAY,
    empty_redis,
    flipped,
    is_challenged,
    seed,
)
from tests.trips.session_running import (
    OWN_PAGE,
    PassingClock,
    error_of,
    header_of,
    json_of,
    payload_of,
    set_cookies,
)
from tests.trips.wire import Message


@pytest.fixture
def redis() -> tuple[str, RedisServer]:
    return empty_redis()


@pytest.fixture(params=["sqlite", "redis"])
def fourth(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the preset of seed 4 is run with: Redis, as it says, and SQLite, where time can be set."""
    if request.param == "sqlite":
        return {}
    return {"STATE_URL": empty_redis()[0], "clock": PassingClock()}


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
