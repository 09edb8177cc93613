import asyncio
import sqlite3
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.model.errors import StoreUnavailable
from gateway.model.revocation import FOREVER, Level, Revocation, mark
from gateway.model.session import Session
from gateway.state.base import BadStore, Commit, Gap, Reading, RevocationFeed, SessionStore, Take
from gateway.state.following import LONGEST_PAUSE, PAUSE_AFTER_BAD_STORE, RESTORE_AFTER, SPREAD, RevocationFollower
from gateway.state.revocations import RevocationView
from gateway.state.sharing import Sharing
from gateway.state.shelf import Shelf
from gateway.state.sqlite import SqliteFeed, SqliteStore
from gateway.state.sqlite_file import SqliteFile
from tests.state.backends import Backend
from tests.state.redis_servers import RedisBackend, connect, server_of

LEAST = 100
"""So many revocations are worthwhile to share."""


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that another task brings about."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.002)


def end_of(number: int, level: Level = Level.SESSION) -> Revocation:
    now = time.time()
    return Revocation(level, bytes(2) + number.to_bytes(14), FOREVER, int(now) + 600, int(now * 1000))


class Line:
    """The way from one gateway to a real store, which a test can cut. It is the gateway's store and its feed."""

    def __init__(self, store: SessionStore, feed: RevocationFeed) -> None:
        self._store, self._feed = store, feed
        self.is_cut = False
        self.is_bad = False
        self.breaks_off = False
        self.gap = ""
        self.age = 0.0
        self.published: list[Revocation] = []
        self.snapshots = 0

    @property
    def shards(self) -> int:
        return self._store.shards

    def _go(self) -> None:
        if self.is_cut:
            raise StoreUnavailable("the line is cut")

    async def open(self) -> None:
        self._go()
        if self.is_bad:
            raise BadStore("it evicts keys")
        await self._store.open()

    async def snapshot(self, take: Take | None = None) -> Reading:
        self._go()
        self.snapshots += 1
        if self.breaks_off:
            everything = await self._feed.snapshot()
            assert take is not None
            await take(everything.revocations[:1])
            raise StoreUnavailable("it broke off")
        reading = await self._feed.snapshot(take)
        return replace(reading, age=reading.age + self.age)

    async def tail(self, cursor: tuple[str, ...]) -> Reading:
        self._go()
        if self.gap:
            gap, self.gap = self.gap, ""
            raise Gap(gap)
        reading = await self._feed.tail(cursor)
        return replace(reading, age=reading.age + self.age)

    async def publish(self, revocations: Sequence[Revocation], *, is_durable: bool = False) -> None:
        self._go()
        await self._feed.publish(revocations)
        self.published += revocations

    async def load(self, sid: str) -> tuple[Session | None, int]:
        return await self._store.load(sid)

    async def commit(self, commit: Commit) -> bool:
        return await self._store.commit(commit)

    async def sessions_of(self, subject: str) -> tuple[list[Session], int]:
        return await self._store.sessions_of(subject)

    async def clock(self) -> int:
        return await self._store.clock()

    async def close(self) -> None:
        await self._store.close()


def sqlite(path: Path) -> Line:
    file = SqliteFile(path, deadline=20)  # other tests may keep the disk busy
    return Line(SqliteStore(file), SqliteFeed(file))


class Gateway:
    """One view and its follower. Its clock stands still unless a test moves it; rounds follow one another."""

    def __init__(self, line: Line, monotonic: Callable[[], float] | None = None, shelf: Shelf | None = None) -> None:
        self.now = 1000.0
        self.line = line
        monotonic = monotonic or (lambda: self.now)
        self.view = RevocationView(monotonic)
        self.readings_at_ready: list[tuple[int, float]] = []
        self.notices: list[tuple[str, dict[str, Any]]] = []
        self.observed: list[float] = []
        self.restored: list[str] = []
        self.is_restoring_cut = False
        self.pauses: list[float] = []
        self.follower = RevocationFollower(
            self.line,
            self.view,
            self.line,
            lambda event, fields: self.notices.append((event, fields)),
            ready=lambda: self.readings_at_ready.append((len(self.view), self.view.staleness())),
            observed=self.observed.append,
            restore=self.restore,
            sharing=None if shelf is None else Sharing(shelf, self.view, "the store", least=LEAST),
            interval=0.1,
            monotonic=monotonic,
            sleep=self.sleep,
        )

    async def restore(self, sid: str) -> None:
        if self.is_restoring_cut:
            raise StoreUnavailable("not now")
        self.restored.append(sid)

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0.002)

    async def rounds(self, number: int = 3) -> None:
        target = len(self.pauses) + number
        await until(lambda: len(self.pauses) >= target)

    def knows(self, revocations: Sequence[Revocation]) -> bool:
        return all(self.view.before(each.mark) == each.before for each in revocations)

    async def to_give_back(self) -> None:
        """Wait until it has seen that the store lost something, and until it may say so."""
        await until(lambda: self.follower.resyncs and self.view.has_unconfirmed())
        await self.rounds(1)
        self.now += SPREAD

    @asynccontextmanager
    async def following(self) -> AsyncIterator["Gateway"]:
        task = asyncio.create_task(self.follower.run())
        try:
            yield self
            assert not task.done(), task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await self.line.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
async def other(path: Path) -> AsyncIterator[Line]:
    """Somebody else who uses the same file."""
    line = sqlite(path)
    await line.open()
    yield line
    await line.close()


@pytest.fixture
async def gateway(path: Path, other: Line) -> AsyncIterator[Gateway]:
    async with Gateway(sqlite(path)).following() as gateway:
        await until(lambda: gateway.readings_at_ready)
        yield gateway


def wipe(path: Path) -> None:
    """Let the file lose its revocations, as when it is replaced by an old copy."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM revocations")
        connection.execute("UPDATE meta SET epoch = 'another'")


# --- reading


async def test_a_gateway_is_ready_when_it_knows_what_is_in_force(path: Path, other: Line) -> None:
    """C187"""
    revocations = [end_of(number) for number in range(1200)]
    await other.publish(revocations)
    gateway = Gateway(sqlite(path))
    gateway.line.is_cut = True
    async with gateway.following():
        await gateway.rounds()
        assert (gateway.readings_at_ready, gateway.view.staleness()) == ([], float("inf"))
        gateway.line.is_cut = False
        await until(lambda: gateway.readings_at_ready)
        await gateway.rounds()
    assert gateway.readings_at_ready == [(1200, 0.0)]
    assert gateway.knows(revocations)
    assert gateway.observed == []
    assert not gateway.follower.resyncs


async def test_a_snapshot_that_breaks_off_says_nothing_of_what_it_did_not_reach(gateway: Gateway, other: Line) -> None:
    await other.publish(revocations := [end_of(number) for number in range(5)])
    await until(lambda: gateway.knows(revocations))
    gateway.line.breaks_off, gateway.line.gap = True, "epoch"
    await until(lambda: gateway.line.snapshots > 3)
    gateway.now += SPREAD + LONGEST_PAUSE
    await until(lambda: gateway.line.snapshots > 6)
    assert gateway.view.has_unconfirmed()
    assert gateway.knows(revocations)
    gateway.line.breaks_off = False
    await until(lambda: not gateway.view.has_unconfirmed())
    gateway.now += SPREAD
    await gateway.rounds()
    assert gateway.line.published == []


async def test_requests_are_served_while_a_large_snapshot_is_taken_in(path: Path, other: Line) -> None:
    await other.publish([end_of(number) for number in range(3000)])
    sizes = set()
    async with Gateway(sqlite(path)).following() as gateway:
        while not gateway.readings_at_ready:
            sizes.add((len(gateway.view), gateway.view.staleness()))
            await asyncio.sleep(0)
    assert {size for size, _ in sizes} >= {500, 1000, 2500}
    assert {staleness for _, staleness in sizes} == {float("inf")}


async def test_news_arrive_and_their_delay_is_observed_once(gateway: Gateway, other: Line) -> None:
    news, own = [end_of(1), end_of(2)], end_of(3)
    gateway.view.add([own])
    await other.publish([*news, own])
    await until(lambda: gateway.knows(news))
    await other.publish(news)
    await gateway.rounds()
    assert len(gateway.observed) == 2
    assert all(0 <= delay < 20 for delay in gateway.observed)


async def test_a_gap_is_filled_by_a_snapshot(gateway: Gateway, other: Line) -> None:
    """C185"""
    gateway.line.is_cut = True
    await gateway.rounds()
    missed = [end_of(number) for number in range(50)]
    await other.publish(missed)
    gateway.line.gap = "trimmed"
    gateway.line.is_cut = False
    await until(lambda: gateway.follower.resyncs)
    await gateway.rounds()
    assert gateway.knows(missed)
    assert gateway.follower.resyncs == {"trimmed": 1}
    assert ("revocations_gap", {"cause": "trimmed"}) in gateway.notices
    assert len(gateway.readings_at_ready) == 1


async def test_while_the_store_is_out_of_reach_the_view_stays_and_its_staleness_grows(
    gateway: Gateway, other: Line
) -> None:
    await other.publish([end_of(1)])
    await until(lambda: len(gateway.view))
    gateway.line.is_cut = True
    await gateway.rounds(2)
    del gateway.pauses[:]
    gateway.now += 7
    await gateway.rounds(12)
    assert gateway.view.staleness() == 7
    assert gateway.knows([end_of(1)])
    assert max(gateway.pauses) <= LONGEST_PAUSE
    assert len(set(gateway.pauses)) > 6, "all gateways would come at once"
    await other.publish([end_of(2)])
    gateway.line.is_cut = False
    await until(lambda: gateway.knows([end_of(2)]) and gateway.view.staleness() == 0)
    assert gateway.follower.errors >= 12
    await gateway.rounds()
    assert gateway.pauses[-1] == 0.1
    assert [event for event, _ in gateway.notices] == ["state_reading_failed", "state_reading_restored"]


async def test_answers_of_a_store_that_nobody_can_write_to_prove_nothing(gateway: Gateway) -> None:
    """C188"""
    for age in (3.0, 10.0, 40.0):
        gateway.now += age - gateway.line.age
        gateway.line.age = age
        await gateway.rounds()
        assert gateway.view.staleness() == age


async def test_a_store_that_must_not_be_used_is_reported_and_tried_again(path: Path) -> None:
    gateway = Gateway(sqlite(path))
    gateway.line.is_bad = True
    async with gateway.following():
        await gateway.rounds()
        assert gateway.pauses[:3] == [PAUSE_AFTER_BAD_STORE] * 3
        assert gateway.notices[0] == ("state_failed", {"error": "it evicts keys"})
        gateway.line.is_bad = False
        await until(lambda: gateway.readings_at_ready)


async def test_what_has_ended_is_forgotten_while_following(gateway: Gateway) -> None:
    gateway.view.add([Revocation(Level.TOKEN, bytes(16), FOREVER, int(time.time()) + 1, 0)])
    assert len(gateway.view) == 1
    await until(lambda: not len(gateway.view))


# --- giving back


async def test_what_was_revoked_here_during_an_outage_is_published_after_it(gateway: Gateway, other: Line) -> None:
    gateway.line.is_cut = True
    await gateway.rounds()
    revoked = [end_of(1), Revocation(Level.SUBJECT, mark(Level.SUBJECT, "i", "ann"), 5, FOREVER, 0)]
    gateway.view.add(revoked, confirmed=False)
    gateway.line.is_cut = False
    gateway.now += SPREAD
    await until(lambda: not gateway.view.has_unconfirmed())
    await gateway.rounds()
    assert {each.mark for each in (await other.snapshot()).revocations} == {each.mark for each in revoked}
    assert gateway.follower.pushed_back == len(gateway.line.published) == 2


async def test_a_revocation_that_arrived_although_its_answer_was_lost_is_not_published_again(
    gateway: Gateway, other: Line
) -> None:
    gateway.line.is_cut = True
    await gateway.rounds()
    gateway.view.add([end_of(1)], confirmed=False)
    await other.publish([Revocation(Level.SESSION, end_of(1).mark, FOREVER, FOREVER, 0)])
    gateway.line.is_cut = False
    await until(lambda: not gateway.view.has_unconfirmed())
    await gateway.rounds()
    assert gateway.line.published == []


async def test_a_wiped_store_gets_back_what_is_in_force(gateway: Gateway, other: Line, path: Path) -> None:
    """C184"""
    later = Revocation(Level.GENERATION, bytes(15) + b"g", 3, FOREVER, 0, since_ms=(int(time.time()) + 900) * 1000)
    revocations = [later, *(end_of(number) for number in range(9000))]
    await other.publish(revocations)
    await until(lambda: len(gateway.view) == 9001)
    wipe(path)
    await gateway.to_give_back()
    await until(lambda: not gateway.view.has_unconfirmed())
    there = (await other.snapshot()).revocations
    assert {(each.mark, each.before, each.until, each.since_ms) for each in there} == {
        (each.mark, each.before, each.until, each.since_ms) for each in revocations
    }
    assert gateway.follower.pushed_back == 9001


async def test_of_several_gateways_one_gives_back(path: Path, other: Line) -> None:
    await other.publish([end_of(number) for number in range(1000)])
    async with Gateway(sqlite(path)).following() as first, Gateway(sqlite(path)).following() as second:
        await until(lambda: len(first.view) == len(second.view) == 1000)
        wipe(path)
        await until(lambda: second.follower.resyncs)
        await second.rounds(2)
        await first.to_give_back()
        await until(lambda: first.follower.pushed_back == 1000)
        await until(lambda: not second.view.has_unconfirmed())
        second.now += SPREAD
        await second.rounds()
        assert second.line.published == []


async def test_gateways_come_to_know_the_same(path: Path, other: Line) -> None:
    async with Gateway(sqlite(path)).following() as first, Gateway(sqlite(path)).following() as second:
        await until(lambda: first.readings_at_ready and second.readings_at_ready)
        first.view.add([end_of(1)], confirmed=False)
        second.view.add([end_of(2)], confirmed=False)
        first.now += SPREAD
        second.now += SPREAD
        everything = [end_of(1), end_of(2)]
        await until(lambda: first.knows(everything) and second.knows(everything))


async def test_sessions_whose_end_the_store_had_lost_are_ended_there(gateway: Gateway, other: Line, path: Path) -> None:
    ends = [end_of(1), end_of(2)]
    await other.publish([*ends, end_of(3, Level.TOKEN)])
    await until(lambda: len(gateway.view) == 3)
    wipe(path)
    await gateway.to_give_back()
    await until(lambda: gateway.follower.pushed_back == 3)
    gateway.is_restoring_cut = True
    await gateway.rounds()
    assert gateway.restored == [], "its end may be on the way to the store"
    gateway.now += RESTORE_AFTER
    await until(lambda: gateway.follower.errors == 2)
    assert gateway.pauses[-1] == 0.1, "and it is read as often as ever"
    gateway.is_restoring_cut = False
    gateway.now += RESTORE_AFTER
    await until(lambda: len(gateway.restored) == 2)
    await gateway.rounds()
    assert sorted(gateway.restored) == [urlsafe_b64encode(each.mark).decode().rstrip("=") for each in ends]


# --- ending


async def test_a_follower_that_is_cancelled_leaves_nothing_behind_and_can_run_again(path: Path, other: Line) -> None:
    before = asyncio.all_tasks()
    gateway = Gateway(sqlite(path))
    async with gateway.following():
        await until(lambda: gateway.readings_at_ready)
        assert len(asyncio.all_tasks() - before) == 1
    assert asyncio.all_tasks() == before
    await other.publish([end_of(1)])
    async with gateway.following():
        await until(lambda: gateway.knows([end_of(1)]))
    assert len(gateway.readings_at_ready) == 1


# --- on every store, in real time


@asynccontextmanager
async def gateways(backend: Backend, number: int) -> AsyncIterator[list[Gateway]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(Gateway(Line(*await backend.open()), time.monotonic).following())
            for _ in range(number)
        ]


async def test_a_fresh_gateway_learns_from_a_wiped_store_what_another_still_knew(backend: Backend) -> None:
    """C184"""
    store, feed = await backend.open()
    await store.open()
    revocations = [end_of(number, level) for number in range(500) for level in (Level.SESSION, Level.TOKEN)]
    revocations = [replace(each, mark=each.mark[:2] + bytes([each.level]) + each.mark[3:]) for each in revocations]
    await feed.publish(revocations)
    async with gateways(backend, 1) as [survivor]:
        await until(lambda: len(survivor.view) == 1000)
        await backend.wipe()
        await until(lambda: survivor.follower.pushed_back == 1000)
        async with gateways(backend, 1) as [fresh]:
            await until(lambda: fresh.readings_at_ready)
            assert fresh.readings_at_ready[0][0] == 1000
            assert fresh.knows(revocations)


async def test_gateways_share_what_they_revoke_and_stay_fresh(backend: Backend) -> None:
    async with gateways(backend, 2) as [first, second]:
        await until(lambda: first.readings_at_ready and second.readings_at_ready)
        for number in range(20):
            await first.line.publish([end_of(number)])
            second.view.add([end_of(number + 100)], confirmed=False)
        everything = [end_of(number + more) for number in range(20) for more in (0, 100)]
        await until(lambda: first.knows(everything) and second.knows(everything))
        await until(lambda: first.view.staleness() < 2 and second.view.staleness() < 2)
        assert not first.follower.resyncs
        assert len(second.observed) == 20


@pytest.mark.parametrize("backend", ["redis"], indirect=True)
async def test_nothing_is_missed_when_the_news_are_trimmed_before_they_are_read(backend: RedisBackend) -> None:
    """C185"""
    async with gateways(backend, 1) as [gateway]:
        await until(lambda: gateway.readings_at_ready)
        await gateway.line.publish([end_of(0)])
        await until(lambda: len(gateway.view))
        gateway.line.is_cut = True
        await gateway.rounds()
        _, feed = await backend.open()
        missed = [end_of(number) for number in range(1, 100)]
        await feed.publish(missed)
        server = backend.servers[0]
        [stream] = [key for key in server.run("KEYS", "*") if server.run("TYPE", key) == b"stream"]
        server.run("XTRIM", stream, "MAXLEN", 10)
        gateway.line.is_cut = False
        await until(lambda: gateway.knows(missed))
        assert gateway.follower.resyncs.total() == 1


async def test_an_isolated_primary_that_still_answers_does_not_keep_the_view_fresh(tmp_path: Path) -> None:
    """C188"""
    with server_of(tmp_path) as server:
        store, feed = connect(f"redis://127.0.0.1:{server.port}")
        async with Gateway(Line(store, feed), time.monotonic).following() as gateway:
            await until(lambda: gateway.readings_at_ready)
            server.run("CONFIG", "SET", "min-replicas-to-write", 1)
            await until(lambda: gateway.view.staleness() > 2.5)
            await feed.tail((await feed.snapshot()).cursor)
            server.run("CONFIG", "SET", "min-replicas-to-write", 0)
            await until(lambda: gateway.view.staleness() < 1)
