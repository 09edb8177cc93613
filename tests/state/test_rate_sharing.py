"""Processes that share the counts of their rate limits through a real Redis: how much passes in all."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.state.rate_counts import RateCounts
from gateway.state.rate_limit import RateLimit
from gateway.state.rate_sharing import INTERVAL, RateSharing
from gateway.state.rate_table import RateTable
from tests.issuing import Clock
from tests.state.redis_servers import redis_backend, server_of, shared, start_cluster
from tests.state.test_redis_rates import LOOSE, counts

Notices = list[tuple[str, dict[str, Any]]]


@pytest.fixture
async def lone(tmp_path: Path) -> AsyncIterator[RateCounts]:
    """The counts in a server alone, for what takes time."""
    async with redis_backend("redis", tmp_path) as backend, counts(backend.url) as rates:
        yield rates


def limit(requests: int = 50, per: float = 3600.0, burst: int | None = None) -> RateLimit:
    return RateLimit(f"r {requests} {per} {burst}", "client_address", requests, per, burst or requests, True)


class Process:
    """A table, and what shares it."""

    def __init__(self, rates: RateCounts, rule: RateLimit | None = None, **changes: Any) -> None:
        self.table = RateTable(10_000, **changes)
        self.notices: Notices = []
        self.sharing = RateSharing(self.table, rates, lambda event, fields: self.notices.append((event, fields)))
        self.rule = rule or limit()

    def passes(self, who: str = "a") -> bool:
        return self.table.take([(self.rule, (self.rule.name, who))]) is None

    def passed(self, requests: int, who: str = "a") -> int:
        return sum(self.passes(who) for _ in range(requests))

    @asynccontextmanager
    async def sharing_on(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.sharing.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def eventually(is_so: Callable[[], bool], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not is_so():
            await asyncio.sleep(0.01)


async def test_what_passed_in_one_process_counts_in_the_other(lone: RateCounts) -> None:
    one, two = Process(lone), Process(lone)
    assert one.passed(60) == 50
    await one.sharing.exchange()
    assert two.passed(1) == 1
    await two.sharing.exchange()
    assert two.passed(60) == 0


async def test_two_processes_let_pass_as_much_as_one_and_what_is_not_told_yet(lone: RateCounts) -> None:
    one, two = Process(lone), Process(lone)
    total = 0
    for _ in range(40):
        total += one.passed(3) + two.passed(3)
        await one.sharing.exchange()
        await two.sharing.exchange()
    assert 50 <= total <= 50 + 3


async def test_an_honest_client_is_never_refused_whichever_process_it_meets(lone: RateCounts) -> None:
    """Five requests at once, and from there on at nine tenths of the rate, in turn and at random."""
    rule = limit(20, 1.0, burst=5)
    processes = [Process(lone, rule) for _ in range(3)]
    async with processes[0].sharing_on(), processes[1].sharing_on(), processes[2].sharing_on():
        assert all(processes[number % 3].passes() for number in range(5))
        await asyncio.sleep(5 * rule.interval)
        for number in range(40):
            await asyncio.sleep(rule.interval / 0.9)
            assert processes[secrets.randbelow(3) if number % 2 else number % 3].passes(), number


async def test_the_rate_of_all_together_is_the_rate(lone: RateCounts) -> None:
    """Everybody asks as fast as they can, for two seconds."""
    rule = limit(40, 1.0, burst=10)
    processes = [Process(lone, rule) for _ in range(3)]
    total, begin = 0, time.monotonic()
    async with processes[0].sharing_on(), processes[1].sharing_on(), processes[2].sharing_on():
        while time.monotonic() < begin + 2:
            total += sum(each.passed(1) for each in processes)
            await asyncio.sleep(0.002)
    lasted = time.monotonic() - begin
    rounds = max(each.sharing.results["ok"] for each in processes)
    assert rounds >= 3
    at_once = rule.burst * len(processes)
    assert total <= at_once + (lasted + 3 * INTERVAL + LOOSE) * rule.requests / rule.per
    assert total >= 10 + (lasted - LOOSE) * rule.requests / rule.per


async def test_nothing_is_said_while_nothing_passes(tmp_path: Path) -> None:
    async with redis_backend("redis", tmp_path):
        url, [server] = shared("redis")
        async with counts(url) as rates:
            idle = Process(rates)
            await idle.sharing.exchange()
            assert idle.sharing.results == {"ok": 0, "failed": 0}
            assert server.run("DBSIZE") == 0


async def test_more_counts_than_go_in_one_batch_are_all_told(lone: RateCounts) -> None:
    one, two = Process(lone, limit(2)), Process(lone, limit(2))
    who = [f"client {number}" for number in range(1200)]
    assert all(one.passed(2, each) == 2 for each in who)
    await one.sharing.exchange()
    assert one.sharing.results["ok"] == 3
    assert all(two.passes(each) for each in who)
    await two.sharing.exchange()
    assert not any(two.passes(each) for each in who)


# --- Redis is away, and comes back


async def test_while_redis_is_away_each_process_counts_alone(tmp_path: Path) -> None:
    with server_of(tmp_path / "redis") as redis:
        async with counts(f"redis://127.0.0.1:{redis.port}", timeout=0.3) as rates:
            one, two = Process(rates), Process(rates)
            redis.kill()
            async with one.sharing_on(), two.sharing_on():
                assert one.passed(30) == 30
                assert two.passed(60) == 50
                await eventually(lambda: one.sharing.results["failed"] > 0 and two.sharing.results["failed"] > 0)
                assert one.passed(60) == 20
                assert [event for event, _ in one.notices] == ["rate_sharing_failed"]
                redis.start()
                await eventually(lambda: _shares(one) and _shares(two))
                assert [event for event, _ in one.notices] == ["rate_sharing_failed", "rate_sharing_restored"]
                assert one.passed(60) + two.passed(60) == 0


def _shares(process: Process) -> bool:
    process.passed(1, secrets.token_hex(4))
    return process.sharing.results["ok"] > 0


async def test_an_outage_does_not_add_up_against_honest_clients(tmp_path: Path) -> None:
    """Four processes let pass what each may during an outage; afterwards the client waits no longer than for one."""
    with server_of(tmp_path / "redis") as redis:
        async with counts(f"redis://127.0.0.1:{redis.port}", timeout=0.3) as rates:
            clock = Clock(1000.0)
            processes = [Process(rates, limit(100, 100.0), monotonic=clock) for _ in range(4)]
            redis.kill()
            for _ in range(5):
                for each in processes:
                    each.passed(200)
                    await each.sharing.exchange()
                clock.now += 50
            assert [each.sharing.results["failed"] for each in processes] == [5] * 4
            redis.start()
            for _ in range(2):
                for each in processes:
                    each.passed(1)
                    await each.sharing.exchange()
            assert [each.sharing.results["ok"] for each in processes] == [2] * 4
            assert all(each.table.told((each.rule.name, "a")) < 60 for each in processes)


async def test_counts_survive_a_redis_that_forgets_everything(tmp_path: Path) -> None:
    async with redis_backend("redis", tmp_path) as backend, counts(backend.url) as rates:
        one, two = Process(rates), Process(rates)
        assert one.passed(45) == 45
        await one.sharing.exchange()
        await backend.wipe()
        assert one.passed(1) == 1
        await one.sharing.exchange()
        two.passed(1)
        await two.sharing.exchange()
        assert two.passed(60) <= 3


async def test_a_cluster_that_loses_a_node_only_costs_the_sharing(tmp_path: Path) -> None:
    cluster = start_cluster(tmp_path / "cluster")
    try:
        async with counts(cluster.url, timeout=0.3) as rates:
            one = Process(rates)
            await one.sharing.exchange()
            cluster.servers[0].kill()
            for number in range(20):
                one.passed(1, str(number))
            await one.sharing.exchange()
            assert one.sharing.results["failed"] == 1
            assert one.passed(60, "0") == 49
    finally:
        cluster.stop()


async def test_a_store_that_must_not_be_used_only_costs_the_sharing() -> None:
    _, [server] = shared("redis")
    async with counts(f"redis+cluster://127.0.0.1:{server.port}") as rates:
        one = Process(rates)
        assert one.passed(60) == 50
        await one.sharing.exchange()
        assert one.sharing.results == {"ok": 0, "failed": 1}


async def test_what_waited_through_an_outage_is_not_added_as_if_it_had_passed_just_now(tmp_path: Path) -> None:
    with server_of(tmp_path / "redis") as redis:
        async with counts(f"redis://127.0.0.1:{redis.port}", timeout=0.3) as rates:
            clock = Clock(1000.0)
            one, two = (Process(rates, limit(10, 100.0), monotonic=clock) for _ in range(2))
            redis.kill()
            one.passed(1, "another")
            await one.sharing.exchange()
            one.passed(1)
            clock.now += 50
            redis.start()
            two.passed(1)
            await two.sharing.exchange()
            await one.sharing.exchange()
            assert one.sharing.results == {"ok": 1, "failed": 1}
            assert one.table.told((one.rule.name, "a")) == pytest.approx(10, abs=LOOSE)


async def test_keys_do_not_show_who_is_counted(tmp_path: Path) -> None:
    async with redis_backend("redis", tmp_path):
        url, [server] = shared("redis")
        async with counts(url) as rates:
            one = Process(rates)
            one.passed(3, "alice@example.com")
            await one.sharing.exchange()
        assert server.run("KEYS", "*")
        assert not [key for key in server.run("KEYS", "*") if b"alice" in key]
