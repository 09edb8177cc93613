"""Fills a store with revocations in seconds: the first through the feed, the others as it would have written them."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

import redis

from bench.fleets import SQLITE_FILE, Store
from gateway.model.revocation import Revocation
from gateway.state.opening import StateSettings, open_state
from gateway.state.redis_feed import entries_of
from tests.state.redis_servers import RedisServer

_FIRST = 100
_TOGETHER = 5000
_REVOKED = "gateway:{h00}:revoked"
_ENDS = "gateway:{h00}:ends"


async def fill(store: Store, directory: Path, wanted: Iterator[Revocation]) -> None:
    """Put revocations in a store. `directory` is that of the gateways."""
    state = open_state(StateSettings.model_validate({"url": store.url, "timeout": 60}), directory)
    await state.store.open()
    try:
        await state.feed.publish(list(islice(wanted, _FIRST)))
    finally:
        await state.store.close()
    if store.server is None:
        _fill_sqlite(directory / SQLITE_FILE, wanted)
    else:
        _fill_redis(store.server, wanted)


def _fill_sqlite(file: Path, wanted: Iterator[Revocation]) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.executemany(
            "INSERT INTO revocations (level, mark, before, until, at_ms, since_ms) VALUES (?, ?, ?, ?, ?, ?)",
            ((each.level.value, each.mark, each.before, each.until, each.at_ms, each.since_ms) for each in wanted),
        )


def _fill_redis(server: RedisServer, wanted: Iterator[Revocation]) -> None:
    with redis.Redis(port=server.port) as client:
        while part := [entries_of(each) for each in islice(wanted, _TOGETHER)]:
            client.execute_command("HSET", _REVOKED, *(word for about, _, value in part for word in (about, value)))
            client.execute_command("ZADD", _ENDS, *(word for about, until, _ in part for word in (until, about)))
