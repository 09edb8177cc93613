"""What the text of seed 3 describes is there with its preset: stateless access tokens, forced logout."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.minting import NOW
from tests.state.redis_servers import RedisServer, server_of, shared
from tests.trips.preset_running import (
    DAY,
    delete_record,
    empty_redis,
    flipped,
    is_challenged,
    is_refused_soon,
    seed,
)
from tests.trips.session_running import (
    PassingClock,
    SessionGateway,
    error_of,
    json_of,
    payload_of,
    preset,
)


@pytest.fixture
def redis() -> tuple[str, RedisServer]:
    return empty_redis()


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
    return empty_redis()[0]


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
