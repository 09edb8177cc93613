"""What every store of sessions and every feed of revocations keeps to, whatever is below."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace

import pytest

from gateway.model.errors import StoreUnavailable
from gateway.model.revocation import FOREVER, Level, Revocation
from gateway.model.session import EndReason, Session
from gateway.state.base import Change, Commit, Gap, Reading, RevocationFeed, SessionStore
from tests.state.backends import Backend
from tests.state.making import (
    a_revocation,
    change_of,
    new_session,
    next_version,
    opening,
    over,
    revocation_of,
    rotated,
)


class Ours:
    """Makes sessions of one store, on the right shard, at its time."""

    def __init__(self, store: SessionStore, now: int) -> None:
        self._store = store
        self._now = now

    def session(self, subject: str = "alice", **fields: object) -> Session:
        return new_session(self._now, subject, shards=self._store.shards, **fields)

    async def opened(self, subject: str = "alice", **fields: object) -> Session:
        session = self.session(subject, **fields)
        assert await self._store.commit(opening(session))
        return session

    async def loaded(self, sid: str) -> Session | None:
        return (await self._store.load(sid))[0]

    async def listed(self, subject: str = "alice") -> list[str]:
        return [session.sid for session in (await self._store.sessions_of(subject))[0]]


@pytest.fixture
def ours(store: SessionStore, now: int) -> Ours:
    return Ours(store, now)


def as_set(revocations: Iterable[Revocation]) -> set[Revocation]:
    return set(revocations)


async def in_force(feed: RevocationFeed) -> set[Revocation]:
    return as_set((await feed.snapshot()).revocations)


# --- load and commit


async def test_what_was_committed_is_loaded(store: SessionStore, ours: Ours) -> None:
    session = await ours.opened()
    assert await ours.loaded(session.sid) == session
    later = rotated(session)
    assert await store.commit(Commit((change_of(later),)))
    assert await ours.loaded(session.sid) == later


async def test_a_session_that_never_was_is_none(store: SessionStore, ours: Ours) -> None:
    await ours.opened()
    assert await ours.loaded(ours.session().sid) is None
    assert await ours.listed("nobody") == []


async def test_the_time_is_the_stores_and_goes_on(store: SessionStore, other_store: SessionStore, ours: Ours) -> None:
    times = [
        await store.clock(),
        (await store.load(ours.session().sid))[1],
        (await other_store.sessions_of("alice"))[1],
        await other_store.clock(),
    ]
    assert times == sorted(times)
    assert times[-1] - times[0] < 60_000


async def test_only_the_expected_version_is_replaced(store: SessionStore, ours: Ours) -> None:
    first = await ours.opened()
    second = rotated(first)
    assert await store.commit(Commit((change_of(second),)))
    assert not await store.commit(Commit((change_of(next_version(first, acknowledged=True)),)))
    assert not await store.commit(Commit((Change(next_version(second), 7),)))
    assert not await store.commit(Commit((Change(first._replace(device="another"), None),)))
    assert await ours.loaded(first.sid) == second


async def test_a_record_that_took_the_number_of_a_lost_one_is_not_replaced(store: SessionStore, ours: Ours) -> None:
    """Whoever loaded before a failover must not undo what was committed after it."""
    first = await ours.opened()
    lost = next_version(first, commit_id=1)
    ended = over(first)._replace(commit_id=2)
    assert await store.commit(Commit((Change(ended, first.edition),)))
    assert not await store.commit(Commit((Change(next_version(lost, commit_id=3), lost.edition),)))
    assert await ours.loaded(first.sid) == ended
    assert await store.commit(Commit((Change(next_version(ended, commit_id=2**32 - 1), ended.edition),)))


async def test_a_session_that_is_not_there_is_not_changed(
    store: SessionStore, feed: RevocationFeed, ours: Ours
) -> None:
    never_was = over(ours.session())
    assert not await store.commit(Commit((change_of(never_was),), (revocation_of(never_was),)))
    assert await ours.loaded(never_was.sid) is None
    assert await in_force(feed) == set()


async def test_repeating_a_commit_that_was_done_is_done_again(
    store: SessionStore, other_store: SessionStore, ours: Ours
) -> None:
    """C101: the reply was lost, so whoever sent it asks again, perhaps elsewhere."""
    session = ours.session()
    new = opening(session, expected_sids=frozenset())
    assert await store.commit(new)
    assert await store.commit(new)
    assert await other_store.commit(new)
    end = over(session)
    last = Commit((change_of(end),), (revocation_of(end),))
    assert await store.commit(last)
    assert await other_store.commit(last)
    assert await ours.loaded(session.sid) == end
    assert not await store.commit(new)


async def test_a_commit_of_several_sessions_is_done_whole_or_not_at_all(
    store: SessionStore, feed: RevocationFeed, ours: Ours
) -> None:
    old, other = await ours.opened(), await ours.opened()
    assert await store.commit(Commit((change_of(rotated(other)),)))
    newcomer, evicted, stale = ours.session(), over(old, EndReason.EVICTED), over(other, EndReason.EVICTED)
    commit = Commit(
        (Change(newcomer, None), change_of(evicted), change_of(stale)), (revocation_of(evicted), revocation_of(stale))
    )
    assert not await store.commit(commit)
    assert await ours.loaded(newcomer.sid) is None
    assert await ours.loaded(old.sid) == old
    assert await ours.loaded(other.sid) == rotated(other)
    assert set(await ours.listed()) == {old.sid, other.sid}
    assert await in_force(feed) == set()

    held = Commit((Change(newcomer, None), change_of(evicted)), (revocation_of(evicted),))
    assert await store.commit(held)
    assert await store.commit(held)
    assert await ours.loaded(newcomer.sid) == newcomer
    assert await ours.loaded(old.sid) == evicted
    assert set(await ours.listed()) == {newcomer.sid, other.sid}
    assert await in_force(feed) == {revocation_of(evicted)}


async def test_a_repeat_that_was_overtaken_in_part_is_refused(store: SessionStore, ours: Ours) -> None:
    first, second = await ours.opened(), await ours.opened()
    both = Commit((change_of(rotated(first)), change_of(rotated(second))))
    assert await store.commit(both)
    assert await store.commit(Commit((change_of(rotated(rotated(second))),)))
    assert not await store.commit(both)
    assert await ours.loaded(second.sid) == rotated(rotated(second))


async def test_of_many_at_once_one_wins(store: SessionStore, other_store: SessionStore, ours: Ours) -> None:
    """C75"""
    session = await ours.opened()
    rivals = [Commit((change_of(next_version(session, device=f"rival {number}")),)) for number in range(50)]
    results = await asyncio.gather(
        *((store if number % 2 else other_store).commit(rival) for number, rival in enumerate(rivals))
    )
    assert results.count(True) == 1
    assert await ours.loaded(session.sid) == rivals[results.index(True)].changes[0].session


async def test_many_who_commit_the_same_all_win(store: SessionStore, other_store: SessionStore, ours: Ours) -> None:
    """C75"""
    session = await ours.opened()
    same = Commit((change_of(rotated(session)),))
    results = await asyncio.gather(*((store if number % 2 else other_store).commit(same) for number in range(50)))
    assert all(results)
    assert await ours.loaded(session.sid) == rotated(session)


async def test_a_commit_may_have_to_be_durable(store: SessionStore, feed: RevocationFeed, ours: Ours) -> None:
    session = ours.session()
    assert await store.commit(opening(session, is_durable=True))
    await feed.publish([revocation_of(session)], is_durable=True)
    assert await ours.loaded(session.sid) == session


# --- the index of a subject


async def test_sessions_are_listed_oldest_first(store: SessionStore, now: int, ours: Ours) -> None:
    young = await ours.opened(created_at=now - 10)
    old = await ours.opened(created_at=now - 1000)
    middle = await ours.opened(created_at=now - 100)
    await ours.opened("bob")
    sessions, now_ms = await store.sessions_of("alice")
    assert sessions == [old, middle, young]
    assert now_ms // 1000 >= now


async def test_an_exchange_changes_neither_list_nor_order(store: SessionStore, now: int, ours: Ours) -> None:
    first, second = await ours.opened(created_at=now - 2), await ours.opened(created_at=now - 1)
    assert await store.commit(Commit((change_of(rotated(first)),)))
    assert await ours.listed() == [first.sid, second.sid]


async def test_an_ended_session_is_not_listed_but_still_found(store: SessionStore, ours: Ours) -> None:
    """C81: what is shown of it later must be known for a token that was logged out, not stolen."""
    session, other = await ours.opened(), await ours.opened()
    assert await store.commit(Commit((change_of(over(session)),)))
    assert await ours.listed() == [other.sid]
    assert await ours.loaded(session.sid) == over(session)


async def test_an_expired_session_is_not_listed(store: SessionStore, now: int, ours: Ours) -> None:
    await ours.opened(idle_expires_at=now - 1)
    await ours.opened(absolute_expires_at=now)
    unlimited = await ours.opened(idle_expires_at=None)
    assert await ours.listed() == [unlimited.sid]


async def test_a_session_is_listed_again_when_it_lasts_longer(store: SessionStore, now: int, ours: Ours) -> None:
    session = await ours.opened(idle_expires_at=now - 1)
    assert await ours.listed() == []
    assert await store.commit(Commit((change_of(next_version(session, idle_expires_at=now + 100)),)))
    assert await ours.listed() == [session.sid]


async def test_a_session_that_is_long_over_is_forgotten(store: SessionStore, now: int, ours: Ours) -> None:
    long_ago = now - 90 * 86400
    session = ours.session(idle_expires_at=long_ago, absolute_expires_at=long_ago, access_issued_at=long_ago)
    await store.commit(opening(session))
    assert await ours.loaded(session.sid) is None


async def test_a_login_only_holds_if_the_list_is_as_expected(
    store: SessionStore, feed: RevocationFeed, ours: Ours
) -> None:
    """C111"""
    there = await ours.opened()
    await ours.opened("bob")
    newcomer = ours.session()
    for expected in (frozenset[str](), frozenset({newcomer.sid}), frozenset({there.sid, newcomer.sid})):
        commit = Commit((Change(newcomer, None),), (a_revocation(1, until=2**31),), expected_sids=expected)
        assert not await store.commit(commit)
    assert await ours.loaded(newcomer.sid) is None
    assert await in_force(feed) == set()
    assert await store.commit(opening(newcomer, expected_sids=frozenset({there.sid})))
    assert set(await ours.listed()) == {there.sid, newcomer.sid}


async def test_ended_and_expired_sessions_are_not_expected(store: SessionStore, now: int, ours: Ours) -> None:
    ended = await ours.opened()
    assert await store.commit(Commit((change_of(over(ended)),)))
    await ours.opened(idle_expires_at=now - 1)
    assert await store.commit(opening(ours.session(), expected_sids=frozenset()))


async def test_of_two_racing_logins_one_must_look_again(
    store: SessionStore, other_store: SessionStore, ours: Ours
) -> None:
    """C111, C112"""
    rivals = [opening(ours.session(), expected_sids=frozenset()) for _ in range(20)]
    results = await asyncio.gather(
        *((store if number % 2 else other_store).commit(rival) for number, rival in enumerate(rivals))
    )
    assert results.count(True) == 1
    assert await ours.listed() == [rivals[results.index(True)].changes[0].session.sid]


# --- several processes


async def test_what_one_process_commits_another_sees(
    store: SessionStore, other_store: SessionStore, ours: Ours
) -> None:
    session = await ours.opened()
    for _ in range(20):
        assert (await other_store.load(session.sid))[0] == session
        session = rotated(session)
        assert await other_store.commit(Commit((change_of(session),)))
        assert await ours.loaded(session.sid) == session
        session = rotated(session)
        assert await store.commit(Commit((change_of(session),)))
    assert [each.sid for each in (await other_store.sessions_of("alice"))[0]] == [session.sid]


async def test_the_state_outlives_its_processes(backend: Backend, store: SessionStore, ours: Ours) -> None:
    session = await ours.opened()
    await store.close()
    later, feed = await backend.open()
    assert (await later.load(session.sid))[0] == session
    assert await in_force(feed) == set()


async def test_every_process_knows_the_shards(store: SessionStore, other_store: SessionStore) -> None:
    assert store.shards == other_store.shards
    assert store.shards in {2**exponent for exponent in range(11)}


# --- strange content


@pytest.mark.parametrize(
    "subject",
    [
        "",
        "a\0b",
        "'; DROP TABLE sessions; --",
        '"{}[]%s\\\r\n*?',
        "한국어 🙂",
        "ſ",
        "x" * 2048,
        "\ud800",
        "\ud83d\ude42",
    ],
    ids=lambda subject: ascii(subject[:12]),
)
async def test_any_string_can_be_a_subject(store: SessionStore, ours: Ours, subject: str) -> None:
    await ours.opened(subject[:-1] + "~")
    session = await ours.opened(subject)
    assert await ours.loaded(session.sid) == session
    assert await ours.listed(subject) == [session.sid]
    assert not await store.commit(opening(ours.session(subject), expected_sids=frozenset()))
    assert await store.commit(Commit((change_of(over(session)),)))
    assert await ours.listed(subject) == []


async def test_subjects_that_look_alike_are_different(ours: Ours) -> None:
    names = ["alice", "Alice", "alice ", "alice\0", "ALICE", "\u0061lic\u00e9", "alice\u0301"]
    for name in names:
        await ours.opened(name)
    assert [len(await ours.listed(name)) for name in names] == [1] * len(names)


async def test_claims_come_back_as_they_were(ours: Ours) -> None:
    claims = {
        "z": 1,
        "a": {"b": [None, True, 1.5, -0.0, 2**70, "\0\ud800\ud83d\ude42é"], "": {}},
        "f": "not the format",
        "empty": [],
    }
    session = await ours.opened(claims=claims, scope="", device="ü" * 300)
    loaded = await ours.loaded(session.sid)
    assert loaded == session
    assert list(loaded.claims) == list(claims)


# --- the feed


async def test_a_new_state_has_no_revocations(feed: RevocationFeed, now: int) -> None:
    reading = await feed.snapshot()
    assert list(reading.revocations) == []
    assert reading.now_ms >= now * 1000
    assert reading.age < 60
    assert list((await feed.tail(reading.cursor)).revocations) == []


async def test_what_is_published_is_in_the_snapshot_and_in_the_tail_of_others(
    feed: RevocationFeed, other_feed: RevocationFeed, now: int
) -> None:
    """C186"""
    cursor = (await other_feed.snapshot()).cursor
    expected = [a_revocation(now, level=level) for level in Level]
    for each in expected:
        await feed.publish([each])
        reading = await other_feed.tail(cursor)
        assert list(reading.revocations) == [each]
        cursor = reading.cursor
    await feed.publish(expected[:3])
    assert as_set((await other_feed.tail(cursor)).revocations) <= as_set(expected[:3])
    assert await in_force(other_feed) == as_set(expected)


async def test_many_are_published_at_once(feed: RevocationFeed, other_feed: RevocationFeed, now: int) -> None:
    cursor = (await other_feed.snapshot()).cursor
    many = [a_revocation(now) for _ in range(500)]
    await feed.publish(many)
    await feed.publish([])
    assert as_set((await other_feed.tail(cursor)).revocations) == as_set(many)
    assert await in_force(feed) == as_set(many)


async def test_the_greatest_number_and_the_greatest_end_count(feed: RevocationFeed, now: int) -> None:
    """C183"""
    early, late = a_revocation(now, before=now - 50), a_revocation(now, before=now, until=now + 60)
    late = replace(late, mark=early.mark, at_ms=early.at_ms + 1)
    for order in ((early, late), (late, early), (early, early, late, early)):
        for each in order:
            await feed.publish([each])
        [merged] = await in_force(feed)
        assert (merged.mark, merged.before, merged.until) == (early.mark, late.before, early.until)


async def test_what_begins_later_does_not_hide_what_is_in_effect(feed: RevocationFeed, now: int) -> None:
    """A thief who exchanges again and again would otherwise keep older access tokens good."""
    first = a_revocation(now, level=Level.GENERATION, before=2, since_ms=now * 1000 - 5000)
    second = replace(first, before=3, since_ms=now * 1000 + 5000)
    third = replace(first, before=4, since_ms=now * 1000 + 9000)
    for each in (second, first, third, second, first):
        await feed.publish([each])
    assert await in_force(feed) == {first, second, third}


async def test_what_raises_a_revocation_is_news(feed: RevocationFeed, other_feed: RevocationFeed, now: int) -> None:
    first = a_revocation(now, before=now - 50)
    await feed.publish([first])
    cursor = (await other_feed.snapshot()).cursor
    raised = replace(first, before=now)
    await feed.publish([raised])
    reading = await other_feed.tail(cursor)
    assert [each.before for each in reading.revocations] == [now]
    longer = replace(raised, until=raised.until + 1000)
    await feed.publish([longer])
    assert [each.until for each in (await other_feed.tail(reading.cursor)).revocations] == [longer.until]


async def test_the_same_mark_on_two_levels_is_two_revocations(feed: RevocationFeed, now: int) -> None:
    token = a_revocation(now, level=Level.TOKEN, before=FOREVER)
    session = replace(token, level=Level.SESSION)
    await feed.publish([token, session])
    assert await in_force(feed) == {token, session}


async def test_extreme_marks_and_numbers_survive(feed: RevocationFeed, now: int) -> None:
    extremes = [
        a_revocation(now, mark=bytes(16), before=FOREVER, until=FOREVER),
        a_revocation(now, mark=b"\xff" * 16, before=1),
        a_revocation(now, mark=b"\r\n\0' \xc3\xa9:{}[]*,|~", level=Level.EVERYTHING),
    ]
    assert all(len(each.mark) == 16 for each in extremes)
    await feed.publish(extremes)
    assert await in_force(feed) == as_set(extremes)


async def test_a_revocation_that_is_over_is_not_in_force(feed: RevocationFeed, now: int) -> None:
    await feed.publish([a_revocation(now, until=now - 7200)])
    good = a_revocation(now)
    await feed.publish([good])
    assert await in_force(feed) == {good}


async def test_the_end_of_a_session_and_its_revocation_are_one_step(
    store: SessionStore, feed: RevocationFeed, other_feed: RevocationFeed, ours: Ours
) -> None:
    session = await ours.opened()
    cursor = (await other_feed.snapshot()).cursor
    stale = over(rotated(session))
    assert not await store.commit(Commit((change_of(stale),), (revocation_of(stale),)))
    reading = await other_feed.tail(cursor)
    assert list(reading.revocations) == []
    end = over(session)
    assert await store.commit(Commit((change_of(end),), (revocation_of(end),), is_durable=True))
    assert list((await other_feed.tail(reading.cursor)).revocations) == [revocation_of(end)]
    assert await in_force(feed) == {revocation_of(end)}


async def test_a_commit_that_is_repeated_restores_its_revocation(
    store: SessionStore, other_feed: RevocationFeed, ours: Ours
) -> None:
    end = over(await ours.opened())
    assert await store.commit(Commit((change_of(end),)))
    assert await store.commit(Commit((change_of(end),), (revocation_of(end),)))
    assert await in_force(other_feed) == {revocation_of(end)}


async def test_no_revocation_is_missed_between_two_looks(
    feed: RevocationFeed, other_feed: RevocationFeed, store: SessionStore, ours: Ours, now: int
) -> None:
    reading = await other_feed.snapshot()
    seen = list(reading.revocations)
    expected: set[Revocation] = set()

    async def write(number: int) -> None:
        revocation = a_revocation(now)
        expected.add(revocation)
        if number % 2:
            await feed.publish([revocation])
        else:
            assert await store.commit(opening(ours.session(f"s{number}"), revocations=(revocation,)))

    writing = asyncio.gather(*(write(number) for number in range(100)))
    while not writing.done():
        reading = await followed(other_feed, reading, seen)
        await asyncio.sleep(0)
    await followed(other_feed, reading, seen)
    await writing
    assert as_set(seen) == expected


async def followed(feed: RevocationFeed, reading: Reading, seen: list[Revocation]) -> Reading:
    reading = await feed.tail(reading.cursor)
    seen += reading.revocations
    return reading


async def test_a_state_that_was_lost_is_a_gap_and_not_silence(
    backend: Backend, store: SessionStore, feed: RevocationFeed, other_feed: RevocationFeed, ours: Ours, now: int
) -> None:
    """C184"""
    session = await ours.opened()
    revocation = a_revocation(now)
    await feed.publish([revocation])
    cursor, other_cursor = (await feed.snapshot()).cursor, (await other_feed.snapshot()).cursor
    await backend.wipe()
    with pytest.raises(Gap):
        await feed.tail(cursor)
    assert await in_force(feed) == set()
    await feed.publish([revocation])
    with pytest.raises(Gap):
        await other_feed.tail(other_cursor)
    assert await in_force(other_feed) == {revocation}
    assert await ours.loaded(session.sid) is None
    assert await store.commit(opening(session))
    assert await ours.listed() == [session.sid]


# --- what goes wrong


async def test_a_caller_that_is_cancelled_leaves_the_store_as_it_was(
    store: SessionStore, feed: RevocationFeed, ours: Ours, now: int
) -> None:
    sessions = [ours.session(f"s{number}") for number in range(60)]
    tasks = [asyncio.create_task(store.commit(opening(session))) for session in sessions]
    tasks += [asyncio.create_task(store.commit(opening(session))) for session in sessions]
    reading = [asyncio.create_task(ours.loaded(session.sid)) for session in sessions]
    publishing = [asyncio.create_task(feed.publish([a_revocation(now)])) for _ in range(20)]
    for number, task in enumerate([*tasks, *reading, *publishing]):
        if number % 3:
            task.cancel()
        if number % 7 == 0:
            await asyncio.sleep(0)
    results = await asyncio.gather(*tasks, *reading, *publishing, return_exceptions=True)
    for failure in (result for result in results if isinstance(result, BaseException)):
        assert isinstance(failure, asyncio.CancelledError)
    for session in sessions:
        assert await store.commit(opening(session))
        assert await ours.loaded(session.sid) == session


async def test_a_closed_store_says_that_it_cannot_say(store: SessionStore, feed: RevocationFeed, ours: Ours) -> None:
    session = await ours.opened()
    cursor = (await feed.snapshot()).cursor
    await store.close()
    for call in (
        store.load(session.sid),
        store.commit(opening(session)),
        store.sessions_of("alice"),
        store.clock(),
        feed.snapshot(),
        feed.tail(cursor),
        feed.publish([revocation_of(session)]),
    ):
        with pytest.raises(StoreUnavailable):
            await asyncio.wait_for(call, 10)
    await store.close()
