"""What the text of seed 1 describes is there with its preset: two JWTs, of which the stored pair decides."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.model.session import EndReason
from tests.minting import NOW
from tests.trips.preset_running import (
    DAY,
    access_cookie,
    is_challenged,
    is_refused_soon,
    seed,
)
from tests.trips.running import get
from tests.trips.session_running import (
    header_of,
    json_of,
    payload_of,
)


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
