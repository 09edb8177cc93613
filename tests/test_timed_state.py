"""How long the store takes, and how often it fails; what it says is passed on as it is."""

from pathlib import Path

import pytest

from gateway.model.errors import StoreUnavailable, Unconfirmed
from gateway.model.revocation import FOREVER, Level, Revocation, mark
from gateway.state.base import Change, Commit, Gap
from gateway.state.sqlite import SqliteFeed, SqliteStore
from gateway.state.sqlite_file import SqliteFile
from gateway.timed_state import OPERATIONS, TimedFeed, TimedStore, Watch
from tests.minting import NOW
from tests.own_tokens import a_session

REVOCATION = Revocation(Level.SUBJECT, mark(Level.SUBJECT, "i", "s"), FOREVER, NOW + 1000, NOW * 1000)


def counts(watch: Watch) -> dict[str, int]:
    return {labels[0]: sum(tally.counts) for labels, tally in watch.seconds()}


def errors(watch: Watch) -> dict[str, float]:
    return {labels[0]: number for labels, number in watch.errors()}


async def test_every_operation_is_timed_and_says_what_the_store_says(tmp_path: Path) -> None:
    file = SqliteFile(tmp_path / "state.db", lambda: NOW, deadline=20)
    watch = Watch(lambda event, fields: None)
    store, feed = TimedStore(SqliteStore(file), watch), TimedFeed(SqliteFeed(file), watch)
    await store.open()
    try:
        assert store.shards == 1
        session = a_session(version=1)
        assert await store.commit(Commit((Change(session, None),)))
        assert await store.load(session.sid) == (session, NOW * 1000)
        assert await store.sessions_of("alice") == ([session], NOW * 1000)
        assert await store.clock() == NOW * 1000
        first = await feed.snapshot()
        await feed.publish([REVOCATION], is_durable=True)
        assert [each.mark for each in (await feed.tail(first.cursor)).revocations] == [REVOCATION.mark]
    finally:
        await store.close()
    assert counts(watch) == dict.fromkeys(OPERATIONS, 1)
    assert errors(watch) == dict.fromkeys(OPERATIONS, 0)
    with pytest.raises(StoreUnavailable):
        await store.load(session.sid)
    assert errors(watch) == dict.fromkeys(OPERATIONS, 0) | {"load": 1}
    assert counts(watch)["load"] == 2


@pytest.mark.parametrize(
    ("outcome", "number"), [(StoreUnavailable("x"), 1), (Unconfirmed("x"), 1), (Gap("trimmed"), 0), (ValueError(), 0)]
)
async def test_an_error_is_when_the_store_cannot_say(outcome: Exception, number: int) -> None:
    watch = Watch(lambda event, fields: None)

    async def fail() -> None:
        raise outcome

    with pytest.raises(type(outcome)):
        await watch.timed("tail", fail())
    assert errors(watch)["tail"] == number
    assert counts(watch)["tail"] == 1


async def test_operators_hear_of_a_store_that_fails_now_and_then(tmp_path: Path) -> None:
    file = SqliteFile(tmp_path / "state.db", lambda: NOW, deadline=20)
    told: list[tuple[str, str]] = []
    watch = Watch(lambda event, fields: told.append((event, fields["operation"])))
    store, feed = TimedStore(SqliteStore(file), watch), TimedFeed(SqliteFeed(file), watch)
    await store.open()
    await store.close()
    with pytest.raises(StoreUnavailable):
        await feed.snapshot()
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await store.clock()
    assert told == [("store_failed", "clock")]
