"""Revocations in Redis: for each shard a hash of those in force, and a stream of the latest as news.

News are numbered without a gap, and an id is a number and the time, so that a cursor (`epoch:id`) that the stream
does not know shows that something was missed: news were trimmed, a failover lost some, or the data set is another one.
"""

import math
import secrets
from collections.abc import Sequence
from typing import Any

from gateway.model.revocation import FOREVER, LEVELS, Revocation
from gateway.state.base import Gap, Reading, Take, shard_of_mark
from gateway.state.redis_link import Link, together
from gateway.state.redis_scripts import PUBLISH, TAIL, Command, plain

NEWS_KEPT = 10_000
"""So many news a shard keeps, about: a reader that is further behind takes a snapshot."""
PAGE = 1000
"""Revocations that are read in one go."""
BATCH = 500
"""Revocations that are published in one go: nobody else is served meanwhile."""


class RedisFeed:
    """A RevocationFeed. The news of all shards are read by one call for each server; nothing blocks."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def snapshot(self, take: Take | None = None) -> Reading:
        """Scan shard after shard, each on one connection: a cursor of SCAN means nothing to another server."""
        revocations: list[Revocation] = []
        heads = []
        for shard in range(self._link.shards):
            _, revoked, _, _ = self._link.keys(shard).feed
            async with self._link.hold(shard) as ask:
                heads.append(head := _Head(await ask(self._tail(shard, "", ""))))
                position: Any = 0
                while position != b"0":
                    position, entries = await ask(plain("HSCAN", revoked, position, "COUNT", PAGE))
                    part = _revocations(entries, head.now_ms // 1000)
                    if take is None:
                        revocations += part
                    else:
                        await take(part)
        return await self._reading(revocations, heads)

    async def tail(self, cursor: tuple[str, ...]) -> Reading:
        if len(cursor) != self._link.shards:
            raise Gap("epoch")
        heads: dict[int, _Head] = {}
        revocations: list[Revocation] = []
        positions = dict(enumerate(cursor))
        while positions:
            asked = {shard: self._tail(shard, *_parts(position)) for shard, position in positions.items()}
            answers = await self._link.ask_each(asked)
            behind = {}
            for shard, answer in answers.items():
                heads[shard] = head = _Head(answer)
                if news := head.since(positions[shard]):
                    behind[shard] = head.position_of(news[-1])
                    for _, entry in news:
                        revocations += _revocations(entry, 0)
            positions = {shard: at for shard, at in behind.items() if at != heads[shard].position}
        return await self._reading(revocations, [heads[shard] for shard in sorted(heads)])

    async def publish(self, revocations: Sequence[Revocation], *, is_durable: bool = False) -> None:
        by_shard: dict[int, list[Revocation]] = {}
        for revocation in revocations:
            by_shard.setdefault(shard_of_mark(revocation.mark, self._link.shards), []).append(revocation)
        await together(self._publish(shard, entries, is_durable) for shard, entries in by_shard.items())

    async def _publish(self, shard: int, revocations: list[Revocation], is_durable: bool) -> None:
        for start in range(0, len(revocations), BATCH):
            part = revocations[start : start + BATCH]
            arguments: list[bytes | str | int] = [secrets.token_hex(8), self._link.shards, NEWS_KEPT]
            for revocation in part:
                arguments += entries_of(revocation)
            command = PUBLISH.command(self._link.keys(shard).feed, arguments)
            await self._link.confirm(shard, command, is_durable=is_durable and start + BATCH >= len(revocations))

    def _tail(self, shard: int, epoch: str, number: str) -> Command:
        arguments = (secrets.token_hex(8), self._link.shards, NEWS_KEPT, epoch, number, PAGE)
        return TAIL.command(self._link.keys(shard).feed, arguments)

    async def _reading(self, revocations: list[Revocation], heads: Sequence["_Head"]) -> Reading:
        if any(head.failure for head in heads):
            await self._link.doubt()
        return Reading(
            revocations,
            tuple(head.position for head in heads),
            max(head.age for head in heads),
            max(head.now_ms for head in heads),
        )


class _Head:
    """What the tail script says of a shard."""

    def __init__(self, answer: Sequence[Any]) -> None:
        epoch, last, now_ms, beat, failure, self._news = answer
        self.epoch, self.last = epoch.decode(), last.decode()
        self.now_ms = int(now_ms)
        self.age = max(0, self.now_ms - int(beat)) / 1000 if beat else math.inf
        self.failure = failure.decode()

    @property
    def position(self) -> str:
        return f"{self.epoch}:{self.last}"

    def position_of(self, news: Sequence[Any]) -> str:
        return f"{self.epoch}:{news[0].decode()}"

    def since(self, position: str) -> list[Any]:
        """Return the news after a position. Raises Gap unless they follow on it."""
        epoch, _, last = position.partition(":")
        if epoch != self.epoch:
            raise Gap("epoch")
        if last == self.last:
            return []
        number = _number(last)
        if _number(self.last) <= number:
            raise Gap("rewound")
        ids = [each[0].decode() for each in self._news]
        if number and ids and _number(ids[0]) == number:
            if ids[0] != last:
                raise Gap("rewound")
            return list(self._news[1:])
        if number or not ids or _number(ids[0]) != 1:
            raise Gap("trimmed")
        return list(self._news)


def entries_of(revocation: Revocation) -> tuple[bytes, int, str]:
    """Return what the scripts take: what it is about, when it ends, and the rest.

    One that takes effect later is an entry of its own: it must not hide one that is in effect already.
    """
    before, until = (min(max(number, 0), FOREVER) for number in (revocation.before, revocation.until))
    later = str(revocation.since_ms).encode() if revocation.since_ms else b""
    value = f"{before} {until} {revocation.at_ms} {revocation.since_ms}"
    return revocation.mark + bytes([revocation.level]) + later, until, value


def _revocations(entries: Sequence[bytes], now: int) -> list[Revocation]:
    """Return what pairs of id and value say, unless it has ended by `now`."""
    found = []
    for about, value in zip(entries[::2], entries[1::2], strict=True):
        before, until, at_ms, since_ms = map(int, value.split())
        if until >= now:
            found.append(Revocation(LEVELS[about[16]], about[:16], before, until, at_ms, since_ms))
    return found


def _parts(position: str) -> tuple[str, str]:
    epoch, _, last = position.partition(":")
    return epoch, str(_number(last))


def _number(last: str) -> int:
    return int(last.partition("-")[0])
