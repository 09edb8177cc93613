"""A process that writes to a SQLite state until it has done enough, or is killed.

`count PATH SID TIMES` raises the generation of one session so many times. `stream PATH` opens and rotates sessions
without end, revoking each, and prints what was answered: `SID VERSION`.
"""

import asyncio
import os
import sys
from dataclasses import replace
from pathlib import Path

from gateway.state.base import Commit
from gateway.state.sqlite import SqliteStore
from gateway.state.sqlite_file import SqliteFile
from tests.state.making import change_of, new_session, opening, revocation_of, rotated


async def count(path: Path, sid: str, times: int) -> None:
    store = SqliteStore(SqliteFile(path, deadline=30))
    await store.open()
    done = 0
    while done < times:
        session, _ = await store.load(sid)
        assert session is not None
        mine = rotated(session)._replace(device=f"process {os.getpid()}")
        done += await store.commit(Commit((change_of(mine),)))
    await store.close()


async def stream(path: Path) -> None:
    store = SqliteStore(SqliteFile(path, deadline=30))
    await store.open()
    now = await store.clock() // 1000

    async def one(number: int) -> None:
        while True:
            session = new_session(now, f"subject {number}")
            commit = opening(session)
            for _ in range(5):
                revocation = revocation_of(session)
                longer = replace(revocation, until=revocation.until + session.version)
                assert await store.commit(commit._replace(revocations=(longer,)))
                print(session.sid, session.version, flush=True)
                session = rotated(session)
                commit = Commit((change_of(session),))

    await asyncio.gather(*(one(number) for number in range(20)))


if __name__ == "__main__":
    if sys.argv[1] == "count":
        asyncio.run(count(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
    else:
        asyncio.run(stream(Path(sys.argv[2])))
