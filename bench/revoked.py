"""Fills the SQLite file of a gateway with revocations before it starts: a million in seconds."""

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from bench.filling import fill
from bench.fleets import SQLITE, SQLITE_FILE
from bench.material import ISSUER, REVOKED
from gateway.model.revocation import FOREVER, Level, Revocation, mark

_HOUR: Final = 3600
# Marks are digests, so random bytes are like them; in their order, the index grows at its end only.
_OTHERS: Final = """
WITH RECURSIVE numbers(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers LIMIT ?)
INSERT INTO revocations (mark, level, before, until, at_ms, since_ms)
SELECT randomblob(16) AS mark, ?, ?, ?, ?, 0 FROM numbers ORDER BY mark
"""


def fill_with_revoked_tokens(directory: Path, number: int) -> None:
    """Revoke so many tokens: REVOKED, by way of the gateway's own feed, and others that nobody has."""
    now = int(time.time())
    until, at_ms = now + _HOUR, now * 1000
    ours = Revocation(Level.TOKEN, mark(Level.TOKEN, ISSUER, REVOKED), FOREVER, until, at_ms)
    asyncio.run(fill(SQLITE, directory, iter([ours])))
    with closing(sqlite3.connect(directory / SQLITE_FILE)) as connection, connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(_OTHERS, (number - 1, Level.TOKEN.value, FOREVER, until, at_ms))
