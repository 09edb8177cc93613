"""Sessions and revocations in a SQLite file: for any number of processes on one host.

Everything that was answered is on the disk. Time is the clock of this host.
"""

from collections.abc import Sequence
from functools import partial
from sqlite3 import Connection

from gateway.model.errors import StoreUnavailable
from gateway.model.revocation import Revocation
from gateway.model.session import Session
from gateway.state.base import Commit, Gap, Reading, Take
from gateway.state.records import decode
from gateway.state.sqlite_file import SqliteFile
from gateway.state.sqlite_tables import apply, merge, read_page, read_record, read_subject, write_of

PAGE = 10_000
"""Revocations that are read in one go: what else is to be read waits no longer than that."""


class SqliteStore:
    """A SessionStore. It opens and closes the file."""

    shards = 1

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    async def open(self) -> None:
        await self._file.open()

    async def load(self, sid: str) -> tuple[Session | None, int]:
        def read(connection: Connection) -> tuple[bytes | None, int]:
            now_ms = self._file.now_ms()
            return read_record(connection, sid, now_ms // 1000), now_ms

        record, now_ms = await self._file.read(read)
        return None if record is None else decode(record, sid), now_ms

    async def commit(self, commit: Commit) -> bool:
        write = write_of(commit)
        return await self._file.write(lambda connection: apply(connection, write, self._file.now_ms() // 1000))

    async def sessions_of(self, subject: str) -> tuple[list[Session], int]:
        def read(connection: Connection) -> tuple[list[tuple[str, bytes]], int]:
            now_ms = self._file.now_ms()
            return read_subject(connection, subject, now_ms // 1000), now_ms

        rows, now_ms = await self._file.read(read)
        sessions = [decode(record, sid) for sid, record in rows]
        return sorted(sessions, key=lambda session: (session.created_at, session.sid)), now_ms

    async def clock(self) -> int:
        return await self._file.read(lambda connection: self._file.now_ms())

    async def close(self) -> None:
        await self._file.close()


class SqliteFeed:
    """A RevocationFeed over a file that a SqliteStore opened. A cursor is the file's epoch and a row's number.

    What is read is never old: it comes from the disk that others write to.
    """

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    async def snapshot(self, take: Take | None = None) -> Reading:
        try:
            return await self._read(None, 0, take)
        except Gap as gap:
            raise StoreUnavailable("the file was replaced while it was read") from gap

    async def tail(self, cursor: tuple[str, ...]) -> Reading:
        epoch, _, seq = cursor[0].partition(":")
        return await self._read(epoch, int(seq), None)

    async def publish(self, revocations: Sequence[Revocation], *, is_durable: bool = False) -> None:
        await self._file.write(lambda connection: merge(connection, revocations))

    async def _read(self, epoch: str | None, seq: int, take: Take | None) -> Reading:
        now_ms = self._file.now_ms()
        revocations: list[Revocation] = []
        is_last = False
        while not is_last:
            page = await self._file.read(partial(read_page, epoch=epoch, after=seq, now=now_ms // 1000, limit=PAGE))
            if take is None:
                revocations += page.revocations
            else:
                await take(page.revocations)
            epoch, seq, is_last = page.epoch, page.seq, page.is_last
        return Reading(revocations, (f"{epoch}:{seq}",), 0.0, now_ms)
