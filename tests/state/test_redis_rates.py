"""Counts of rate limits that several processes share, in every kind of Redis."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.model.errors import StoreUnavailable
from gateway.state.opening import StateSettings, open_state
from gateway.state.rate_counts import Passed, RateCounts
from tests.state.between import between
from tests.state.redis_servers import NAMES, redis_backend, server_of, shared

LOOSE = 1.0
"""Seconds by which a busy machine may delay an exchange without failing a test."""
Notices = list[tuple[str, dict[str, Any]]]


@asynccontextmanager
async def counts(url: str, **settings: Any) -> AsyncIterator[RateCounts]:
    """Give one process's way to the counts."""
    state = open_state(StateSettings.model_validate({"url": url, "timeout": 5.0} | settings), Path())
    assert state.rates is not None
    try:
        yield state.rates
    finally:
        await state.store.close()


@pytest.fixture(params=NAMES)
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    async with redis_backend(request.param, tmp_path) as backend:
        yield backend.url


@pytest.fixture
async def rates(url: str) -> AsyncIterator[RateCounts]:
    async with counts(url) as rates:
        yield rates


def passed(added: float = 0, least: float = 0, age: float = 0, mark: bytes = b"", most: float = 1e6) -> Passed:
    return Passed(mark or secrets.token_bytes(16), age, added, least, most)


def near(seconds: float) -> Any:
    return pytest.approx(seconds, abs=LOOSE)


async def test_what_processes_let_pass_adds_up(url: str, rates: RateCounts) -> None:
    mark = secrets.token_bytes(16)
    async with counts(url) as other:
        assert await rates.add([passed(100, mark=mark)]) == [near(100)]
        assert await other.add([passed(50, mark=mark)]) == [near(150)]
        assert await rates.add([passed(mark=mark)]) == [near(150)]


async def test_many_counts_go_in_one_call_and_come_back_in_order(rates: RateCounts) -> None:
    told = [passed(100 + 10 * number) for number in range(200)]
    assert await rates.add(told) == [near(each.added) for each in told]
    assert await rates.add(told[::-1]) == [near(2 * each.added) for each in told[::-1]]


async def test_it_counts_from_when_the_first_passed(rates: RateCounts) -> None:
    assert await rates.add([passed(100, age=30)]) == [near(70)]
    assert await rates.add([passed(10, age=30)]) == [near(-20)]


async def test_what_was_lost_is_made_up_for_but_never_added_twice(rates: RateCounts) -> None:
    mark = secrets.token_bytes(16)
    assert await rates.add([passed(10, least=60, mark=mark)]) == [near(60)]
    assert await rates.add([passed(0, least=40, mark=mark)]) == [near(60)]


async def test_no_count_lasts_longer_than_it_may(rates: RateCounts) -> None:
    assert await rates.add([passed(1000, most=90)]) == [near(90)]


async def test_a_count_is_kept_while_it_counts_and_a_little_longer(tmp_path: Path) -> None:
    async with redis_backend("redis", tmp_path):
        url, [server] = shared("redis")
        async with counts(url, prefix="mine") as rates:
            await rates.add([passed(100), passed(0.001)])
        lives = sorted(server.run("PTTL", key) for key in server.run("KEYS", "mine:{h00}:r:*"))
        assert 0 < lives[0] <= 5001
        assert 90_000 < lives[1] <= 105_000
        assert all(server.run("PTTL", key) > 0 for key in server.run("KEYS", "*"))


async def test_a_batch_whose_reply_was_lost_counts_once() -> None:
    """The link sends again what a broken connection may have swallowed."""
    url, [server] = shared("redis")
    mark = secrets.token_bytes(16)
    async with between(server.port) as proxy, counts(f"redis://127.0.0.1:{proxy.port}", timeout=0.4) as rates:
        await rates.add([passed(1, mark=mark)])
        proxy.swallows = True
        call = asyncio.create_task(rates.add([passed(100, mark=mark)]))
        await asyncio.sleep(0.1)
        proxy.close()
        proxy.swallows = False
        assert await call == [near(101)]
        async with counts(url) as direct:
            assert await direct.add([passed(mark=mark)]) == [near(101)]


async def test_what_cannot_be_told_is_unavailable(tmp_path: Path) -> None:
    with server_of(tmp_path / "redis") as redis:
        async with counts(f"redis://127.0.0.1:{redis.port}", timeout=0.2) as rates:
            redis.pause()
            with pytest.raises(StoreUnavailable):
                await rates.add([passed(1)])
            redis.resume()
