"""What becomes of callers when Redis is away, has lost everything, or has lost its replicas."""

import asyncio
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.clients.asking import (
    Tokens,
    becomes,
    client,
    end_subject,
    eventually,
    exchange,
    is_refused,
    log_out,
    open_crowd,
    status_of,
)
from tests.clients.conftest import QUICK
from tests.clients.processes import PATIENCE, GatewayProcess, fleet, opened
from tests.state.redis_servers import RedisServer, server_of, wait_until


def state_of(redis: RedisServer, timeout: float = 5) -> dict[str, Any]:
    return {"url": f"redis://127.0.0.1:{redis.port}", "timeout": timeout}


@pytest.mark.parametrize("is_killed", [False, True], ids=["paused", "killed"])
async def test_while_redis_is_away_tokens_are_good_and_nobody_is_logged_out(
    tmp_path: Path, house: Path, echo: str, http: aiohttp.ClientSession, is_killed: bool
) -> None:
    """C100, C134"""
    with (
        server_of(tmp_path / "redis", appendonly="yes", appendfsync="always") as redis,
        fleet(tmp_path / "fleet", house, state_of(redis, QUICK), echo) as ships,
    ):
        gateway = await asyncio.to_thread(ships.start)
        tokens, leaving = [await _opened_patiently(gateway) for _ in range(2)]
        assert await status_of(http, gateway, tokens) == 200
        redis.kill() if is_killed else redis.pause()
        await _check_that_it_is_away(http, gateway, tokens)
        assert await log_out(http, gateway, leaving) == 503
        assert await status_of(http, gateway, leaving) == 401
        redis.start() if is_killed else redis.resume()
        await eventually(lambda: _is_exchanged(http, gateway, tokens))
        await eventually(lambda: is_refused(http, gateway, leaving["refresh_token"]))
        assert await status_of(http, gateway, tokens) == 200


async def _check_that_it_is_away(http: aiohttp.ClientSession, gateway: GatewayProcess, tokens: Tokens) -> None:
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], "client_id": "web"}
    for _ in range(3):
        async with http.post(f"{gateway.url}/oauth/token", data=form) as response:
            assert response.status == 503
            assert response.headers["Retry-After"]
            assert (await response.json())["error"] == "temporarily_unavailable"
        assert await status_of(http, gateway, tokens) == 200
        assert gateway.readiness() == 200


async def _opened_patiently(gateway: GatewayProcess) -> Tokens:
    """Open a session even if a quick deadline is missed, because the machine is busy."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return await asyncio.to_thread(opened, gateway.url)
        except OSError:
            assert time.monotonic() < end


async def test_a_thousand_revocations_survive_the_loss_of_everything_in_redis(
    tmp_path: Path, house: Path, echo: str
) -> None:
    """C184"""
    async with client(keeps_connections=True) as http:
        with (
            server_of(tmp_path / "redis") as redis,
            fleet(tmp_path / "fleet", house, state_of(redis), echo) as ships,
        ):
            alive = await asyncio.to_thread(ships.start)
            crowd = await open_crowd(http, alive, 1000)
            for number in range(10):
                assert await end_subject(http, alive, f"user{number}") == 100
            [revoked] = redis.run("KEYS", "*:revoked")
            assert redis.run("HLEN", revoked) >= 1000
            redis.run("FLUSHALL")
            await asyncio.to_thread(wait_until, lambda: redis.run("HLEN", revoked) >= 1000, PATIENCE)
            fresh = await asyncio.to_thread(ships.start)
            for gateway in (alive, fresh):
                statuses = await asyncio.gather(*(status_of(http, gateway, tokens) for tokens in crowd))
                assert set(statuses) == {401}
            assert await status_of(http, fresh, opened(alive.url)) == 200


async def test_a_primary_that_lost_its_replicas_gives_news_that_get_too_old(
    tmp_path: Path, house: Path, echo: str, http: aiohttp.ClientSession
) -> None:
    """C188"""
    stale = {"revocation": {"max_staleness": 3}}
    with (
        server_of(tmp_path / "primary", min_replicas_to_write="1", repl_diskless_sync_delay="0") as primary,
        server_of(tmp_path / "replica", replicaof=f"127.0.0.1 {primary.port}") as replica,
        fleet(tmp_path / "fleet", house, state_of(primary), echo, changes=stale) as ships,
    ):
        wait_until(lambda: primary.run("INFO", "replication")["min_slaves_good_slaves"] == 1)
        gateway = await asyncio.to_thread(ships.start)
        tokens = await _opened_patiently(gateway)
        await becomes(http, gateway, tokens, 200)
        replica.kill()
        await becomes(http, gateway, tokens, 503)
        assert primary.run("PING")
        assert (await exchange(http, gateway, tokens["refresh_token"]))[0] == 503
        assert await status_of(http, gateway, tokens, "/open/x") == 200
        assert gateway.readiness() == 200
        replica.start()
        await becomes(http, gateway, tokens, 200)
        await eventually(lambda: _is_exchanged(http, gateway, tokens))


async def _is_exchanged(http: aiohttp.ClientSession, gateway: GatewayProcess, tokens: Tokens) -> bool:
    return (await exchange(http, gateway, tokens["refresh_token"]))[0] == 200
