import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from gateway.model.revocation import Revocation
from gateway.state.revocations import RevocationView
from gateway.state.sharing import Sharing
from gateway.state.shelf import Shelf, new_shelf
from tests.state.test_following import LEAST, Gateway, end_of, sqlite, until, wipe
from tests.state.test_revocations import a_principal
from tests.state.test_shelf import Other

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="only Linux has memory without a name")

MANY = 3 * LEAST


@pytest.fixture
def descriptors() -> Iterator[tuple[int, ...]]:
    found = new_shelf()
    yield found
    for each in found:
        os.close(each)


@pytest.fixture
def shelf(descriptors: tuple[int, ...]) -> Callable[[], Shelf]:
    return lambda: Shelf(descriptors)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
async def filled(path: Path) -> Path:
    """A store with much in it."""
    await published(path, ends(MANY))
    return path


def ends(number: int, first: int = 0) -> list[Revocation]:
    return [end_of(each) for each in range(first, first + number)]


def own_entries(gateway: Gateway) -> int:
    return gateway.view.table.unsettled


async def ready(gateway: Gateway) -> None:
    await until(lambda: gateway.readings_at_ready)


async def published(path: Path, revocations: Sequence[Revocation]) -> None:
    line = sqlite(path)
    await line.open()
    await line.publish(revocations)
    await line.close()


async def test_the_second_worker_takes_what_the_first_has_read(filled: Path, shelf: Callable[[], Shelf]) -> None:
    async with Gateway(sqlite(filled), shelf=shelf()).following() as first:
        await until(lambda: first.readings_at_ready and own_entries(first) == 0)
        await published(filled, news := ends(5, first=MANY))
        async with Gateway(sqlite(filled), shelf=shelf()).following() as second:
            await ready(second)
            assert second.line.snapshots == 0
            assert second.readings_at_ready == [(MANY + 5, 0.0)]
            assert second.knows([*ends(MANY), *news])
            assert own_entries(second) == 5
            assert not second.view.has_unconfirmed()
            await published(filled, news := ends(5, first=MANY + 5))
            await until(lambda: second.knows(news) and first.knows(news))
    assert not first.follower.resyncs + second.follower.resyncs
    assert first.line.published == second.line.published == []


async def test_little_is_not_shared(path: Path, shelf: Callable[[], Shelf]) -> None:
    await published(path, ends(LEAST - 1))
    async with Gateway(sqlite(path), shelf=shelf()).following() as first:
        await ready(first)
        await first.rounds()
        assert shelf().newest() == 0
        async with Gateway(sqlite(path), shelf=shelf()).following() as second:
            await ready(second)
            assert second.knows(ends(LEAST - 1))
            assert second.line.snapshots == 1


async def test_what_has_become_much_is_settled_again_by_one_and_taken_by_the_others(
    filled: Path, shelf: Callable[[], Shelf]
) -> None:
    async with Gateway(sqlite(filled), shelf=shelf()).following() as first:
        await until(lambda: first.readings_at_ready and own_entries(first) == 0)
        async with Gateway(sqlite(filled), shelf=shelf()).following() as second:
            await ready(second)
            await published(filled, ends(2 * MANY, first=MANY))
            await until(lambda: shelf().newest() == 2)
            await until(lambda: own_entries(first) == own_entries(second) == 0)
            for each in first, second:
                await until(partial(each.knows, ends(3 * MANY)))
                assert len(each.view) == 3 * MANY


async def test_only_one_reads_the_store_and_the_others_wait_until_it_is_done_or_gone(
    filled: Path, shelf: Callable[[], Shelf], descriptors: tuple[int, ...]
) -> None:
    reader = Other(descriptors)
    try:
        assert reader.does("turn") is True
        async with Gateway(sqlite(filled), shelf=shelf()).following() as waiting:
            await waiting.rounds(5)
            assert (waiting.line.snapshots, waiting.readings_at_ready) == (0, [])
            reader.end()
            await ready(waiting)
            assert waiting.knows(ends(MANY))
    finally:
        reader.end()


async def test_nobody_waits_for_ever(filled: Path, shelf: Callable[[], Shelf], descriptors: tuple[int, ...]) -> None:
    reader = Other(descriptors)
    try:
        assert reader.does("turn") is True
        gateway = Gateway(sqlite(filled), shelf=shelf())
        async with gateway.following():
            await gateway.rounds(2)
            gateway.now += 60
            await ready(gateway)
            assert gateway.knows(ends(MANY))
    finally:
        reader.end()


async def test_a_gap_since_then_is_noticed_and_nothing_that_was_taken_is_forgotten(
    filled: Path, shelf: Callable[[], Shelf]
) -> None:
    """The store has lost everything: it gets it back from who took it from the shelf."""
    async with Gateway(sqlite(filled), shelf=shelf()).following() as first:
        await until(lambda: first.readings_at_ready and own_entries(first) == 0)
    wipe(filled)
    async with Gateway(sqlite(filled), shelf=shelf()).following() as second:
        await second.to_give_back()
        assert second.knows(ends(MANY))
        await until(lambda: not second.view.has_unconfirmed())
    assert {each.mark for each in second.line.published} == {each.mark for each in ends(MANY)}
    async with Gateway(sqlite(filled)).following() as third:
        await ready(third)
        assert third.knows(ends(MANY))


async def test_what_is_known_of_another_store_is_not_taken(filled: Path, shelf: Callable[[], Shelf]) -> None:
    async with Gateway(sqlite(filled), shelf=shelf()).following() as first:
        await until(lambda: first.readings_at_ready and own_entries(first) == 0)
    view = RevocationView()
    assert await Sharing(shelf(), view, "another store").adopt() is None
    assert len(view) == 0
    assert await Sharing(shelf(), view, "the store").adopt() is not None
    assert len(view) == MANY


async def test_what_the_store_is_not_known_to_have_is_not_shared(filled: Path, shelf: Callable[[], Shelf]) -> None:
    gateway = Gateway(sqlite(filled), shelf=shelf())
    gateway.view.add(lost := ends(MANY, first=MANY), confirmed=False)
    sharing = Sharing(shelf(), gateway.view, "the store", least=LEAST)
    await sharing.settle(("nowhere:0",))
    assert shelf().newest() == 0
    gateway.view.add(lost)
    await sharing.settle(("nowhere:0",))
    assert shelf().newest() == 1


async def test_what_becomes_doubtful_while_it_is_settled_stays_doubtful(shelf: Callable[[], Shelf]) -> None:
    view, own = RevocationView(), end_of(10_000)
    view.add(ends(MANY))
    sharing = Sharing(shelf(), view, "the store", least=LEAST)
    settling = asyncio.create_task(sharing.settle(("nowhere:0",)))
    await asyncio.sleep(0)
    view.add([own], confirmed=False)
    await settling
    assert [each.mark for each in view.unconfirmed()] == [own.mark]
    view.add([own])
    await sharing.settle(("nowhere:0",))
    assert view.table.unsettled == 0
    assert len(view) == MANY + 1


async def test_what_comes_while_it_is_settled_is_not_lost(shelf: Callable[[], Shelf]) -> None:
    view, came = RevocationView(), list[Revocation]()
    view.add(ends(MANY))
    sharing = Sharing(shelf(), view, "the store", least=LEAST)
    settling = asyncio.create_task(sharing.settle(("nowhere:0",)))
    while not settling.done():
        came.append(end_of(10_000 + len(came)))
        longer = replace(end_of(len(came) % MANY), until=came[-1].until + 1000)
        view.add([came[-1], longer])
        await asyncio.sleep(0)
    await settling
    assert shelf().newest() == 1
    assert all(view.knows(each) for each in [*ends(MANY), *came])
    assert len(view) == MANY + len(came)
    assert view.before(bytes(16)) == end_of(0).before


async def test_what_takes_effect_later_does_so_where_it_was_taken(shelf: Callable[[], Shelf]) -> None:
    now = [5000.0]
    first, second = RevocationView(lambda: now[0]), RevocationView(lambda: now[0])
    later = replace(end_of(20_000), since_ms=first.now_ms() + 5000)
    first.add([*ends(MANY), later])
    await Sharing(shelf(), first, "the store", least=LEAST).settle(("epoch:7",))
    assert await Sharing(shelf(), second, "the store").adopt() == ("epoch:7",)
    assert len(second) == MANY + 1
    for view in first, second:
        assert view.before(later.mark) == 0
    now[0] += 6
    for view in first, second:
        assert view.before(later.mark) == later.before


async def test_who_was_found_good_is_refused_when_what_is_taken_says_so(shelf: Callable[[], Shelf]) -> None:
    first, second = RevocationView(), RevocationView()
    first.add(ends(MANY))
    await Sharing(shelf(), first, "the store", least=LEAST).settle(("epoch:7",))
    caller = a_principal((end_of(1).mark, 5))
    second.add([end_of(MANY)])
    assert not second.is_revoked(caller)
    before = second.version
    await Sharing(shelf(), second, "the store").adopt()
    assert second.version > before
    assert second.is_revoked(caller)


async def test_without_memory_for_it_every_worker_has_its_own(
    filled: Path, shelf: Callable[[], Shelf], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int, length: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "ftruncate", fail)
    async with Gateway(sqlite(filled), shelf=shelf()).following() as gateway:
        await ready(gateway)
        await gateway.rounds()
        assert gateway.knows(ends(MANY))
    assert [event for event, _ in gateway.notices] == ["revocations_not_shared"]
