"""First uses come into the records: soon, each, and whatever happens to others."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from gateway.engine.acknowledging import MOST, TOGETHER, Acknowledgements
from gateway.model.errors import StoreUnavailable
from tests.trips.wire import eventually

Pair = tuple[str, int]


class Records:
    """Takes acknowledgements; `fails` says which it does not, and how."""

    def __init__(self) -> None:
        self.taken: list[Pair] = []
        self.fails: Callable[[Pair], Exception | None] = lambda pair: None
        self.at_once = self.most_at_once = 0

    async def acknowledge(self, sid: str, generation: int) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        if (error := self.fails((sid, generation))) is not None:
            raise error
        self.taken.append((sid, generation))


async def quick(seconds: float) -> None:
    await asyncio.sleep(0)


@asynccontextmanager
async def committing(noted: Acknowledgements, records: Records) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(noted.keep_committing(records.acknowledge))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_each_first_use_is_committed_once() -> None:
    noted, records = Acknowledgements(quick), Records()
    async with committing(noted, records):
        noted.seen("a", 1)
        noted.seen("a", 1)
        noted.seen("b", 7)
        await eventually(lambda: records.taken == [("a", 1), ("b", 7)])
        noted.seen("a", 2)
        await eventually(lambda: records.taken[2:] == [("a", 2)])


async def test_many_are_committed_at_the_same_time_but_not_all() -> None:
    noted, records = Acknowledgements(quick), Records()
    for number in range(3 * TOGETHER):
        noted.seen("a", number)
    async with committing(noted, records):
        await eventually(lambda: len(records.taken) == 3 * TOGETHER)
    assert records.most_at_once == TOGETHER


async def test_while_the_store_is_away_they_wait() -> None:
    paused: list[float] = []

    async def sleep(seconds: float) -> None:
        paused.append(seconds)
        await asyncio.sleep(0)

    noted, records = Acknowledgements(sleep), Records()
    records.fails = lambda pair: StoreUnavailable("away")
    async with committing(noted, records):
        noted.seen("a", 1)
        noted.seen("b", 1)
        await eventually(lambda: len(paused) > 3)
        assert records.taken == []
        records.fails = lambda pair: None
        await eventually(lambda: sorted(records.taken) == [("a", 1), ("b", 1)])
    assert paused[1] > 0.5
    assert len(noted) == 0


async def test_one_that_fails_does_not_block_the_others() -> None:
    noted, records = Acknowledgements(quick), Records()
    records.fails = lambda pair: StoreUnavailable("this shard is away") if pair[0] == "a" else None
    async with committing(noted, records):
        for sid in ("a", "b", "c"):
            noted.seen(sid, 1)
        await eventually(lambda: records.taken == [("b", 1), ("c", 1)])
        assert len(noted) <= 1
        records.fails = lambda pair: None
        await eventually(lambda: ("a", 1) in records.taken)


async def test_a_bug_with_one_loses_no_other() -> None:
    noted, records = Acknowledgements(quick), Records()
    records.fails = lambda pair: {"a": ValueError("a bug"), "b": StoreUnavailable("away")}.get(pair[0])
    for number in range(TOGETHER):
        noted.seen("abc"[min(number, 2)], number)
    noted.seen("d", 1)
    async with committing(noted, records) as task:
        with pytest.raises(ValueError, match="a bug"):
            await task
    assert len(records.taken) == TOGETHER - 2
    records.fails = lambda pair: None
    async with committing(noted, records):  # as the supervisor starts it again
        await eventually(lambda: {("b", 1), ("d", 1)} <= set(records.taken))
    assert "a" not in {sid for sid, _ in records.taken}


async def test_what_waits_is_bounded_and_the_oldest_go() -> None:
    noted, records = Acknowledgements(quick), Records()
    for number in range(MOST + 5):
        noted.seen("a", number)
    noted.seen("a", MOST)
    assert len(noted) == MOST
    async with committing(noted, records):
        await eventually(lambda: len(records.taken) == MOST)
    assert min(records.taken) == ("a", 5)
