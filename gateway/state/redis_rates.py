"""Counts of rate limits in Redis: one small key each, which lives until it is whole again and a little longer."""

import secrets
from base64 import urlsafe_b64encode
from collections import defaultdict
from collections.abc import Sequence

from gateway.state.base import shard_of_mark
from gateway.state.rate_counts import Passed
from gateway.state.redis_link import Link
from gateway.state.redis_scripts import RATES, Command


class RedisRates:
    """RateCounts over the link that the store opens and closes. One round trip to each server that has counts."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def add(self, passed: Sequence[Passed]) -> list[float]:
        shards: dict[int, list[Passed]] = defaultdict(list)
        for each in passed:
            shards[shard_of_mark(each.mark, self._link.shards)].append(each)
        replies = await self._link.ask_each({shard: self._command(shard, part) for shard, part in shards.items()})
        taken = {
            each.mark: micros / 1e6
            for shard, part in shards.items()
            for each, micros in zip(part, replies[shard], strict=True)
        }
        return [taken[each.mark] for each in passed]

    def _command(self, shard: int, passed: Sequence[Passed]) -> Command:
        named = self._link.keys(shard).of
        keys = [named(b"rb:", secrets.token_hex(8).encode())]
        keys += [named(b"r:", urlsafe_b64encode(each.mark).rstrip(b"=")) for each in passed]
        times = [time for each in passed for time in (each.age, each.added, each.least, each.most)]
        return RATES.command(keys, [round(time * 1e6) for time in times])
