import asyncio
import os
import shutil
import sqlite3
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from gateway.model.errors import StoreUnavailable
from gateway.model.revocation import session_mark
from gateway.state import sqlite
from gateway.state.base import BadStore, Commit, Gap
from gateway.state.records import KEPT
from gateway.state.sqlite import SqliteFeed, SqliteStore
from gateway.state.sqlite_file import SWEEP_INTERVAL, SqliteFile
from gateway.state.sqlite_tables import SWEPT_AT_ONCE
from tests.issuing import Clock
from tests.minting import NOW
from tests.state.making import a_revocation, change_of, new_session, opening, over, revocation_of, rotated

Opener = Callable[..., Any]


class Host:
    """A directory with a state, and the handles of its processes."""

    def __init__(self, directory: Path, stack: AsyncExitStack) -> None:
        self.path = directory / "state" / "gateway.db"
        self.clock = Clock(NOW)
        self._stack = stack

    def file(self, **settings: Any) -> SqliteFile:
        file = SqliteFile(self.path, self.clock, **({"deadline": 20} | settings))
        self._stack.push_async_callback(file.close)
        return file

    async def open(self, **settings: Any) -> tuple[SqliteStore, SqliteFeed, SqliteFile]:
        file = self.file(**settings)
        store = SqliteStore(file)
        await store.open()
        return store, SqliteFeed(file), file

    def by_hand(self) -> "closing[sqlite3.Connection]":
        return closing(sqlite3.connect(self.path, isolation_level=None))

    def number_of(self, table: str) -> int:
        with self.by_hand() as connection:
            return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    async with AsyncExitStack() as stack:
        yield Host(tmp_path, stack)


async def process(*arguments: str | Path) -> asyncio.subprocess.Process:
    program = [sys.executable, "-m", "tests.state.sqlite_process", *map(str, arguments)]
    return await asyncio.create_subprocess_exec(*program, stdout=asyncio.subprocess.PIPE)


# --- the disk


async def test_what_was_answered_survives_a_kill(host: Host) -> None:
    """C102"""
    host.clock.now = time.time()
    writing = await process("stream", host.path)
    assert writing.stdout is not None
    lines = [await writing.stdout.readline() for _ in range(500)]
    writing.kill()
    lines += (await writing.stdout.read()).splitlines(keepends=True)
    await writing.wait()
    answered = {sid: int(version) for sid, version in (line.decode().split() for line in lines if line.endswith(b"\n"))}
    assert len(answered) >= 100

    store, feed, _ = await host.open()
    revocations = {each.mark: each.until for each in (await feed.snapshot()).revocations}
    for sid, version in answered.items():
        session, _ = await store.load(sid)
        assert session is not None
        assert session.version >= version
        assert revocations[session_mark(sid)] == revocation_of(session).until + session.version
    with host.by_hand() as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_processes_take_turns(host: Host) -> None:
    store, _, _ = await host.open()
    session = new_session(NOW, idle_expires_at=None, absolute_expires_at=2**33)
    assert await store.commit(opening(session))
    writing = [await process("count", host.path, session.sid, "100") for _ in range(2)]
    for each in writing:
        await each.communicate()
        assert each.returncode == 0
    last, _ = await store.load(session.sid)
    assert last is not None
    assert (last.generation, last.version) == (201, 201)


async def test_an_answer_is_given_when_it_is_on_the_disk(host: Host) -> None:
    """`synchronous` 2 is FULL: every commit flushes the log."""
    _, _, file = await host.open(deadline=1.5)
    for pragma, value in (("synchronous", 2), ("journal_mode", "wal"), ("busy_timeout", 1500), ("fullfsync", 1)):

        def ask(connection: sqlite3.Connection, pragma: str = pragma) -> Any:
            return connection.execute(f"PRAGMA {pragma}").fetchone()

        assert await file.write(ask) == (value,)


async def test_only_the_owner_can_read_it(host: Host) -> None:
    before = os.umask(0)
    try:
        store, _, _ = await host.open()
        await store.commit(opening(new_session(NOW)))
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in host.path.parent.iterdir()}
    assert modes == dict.fromkeys(["gateway.db", "gateway.db-wal", "gateway.db-shm"], 0o600)
    assert host.path.parent.stat().st_mode & 0o777 == 0o700


async def test_a_full_disk_is_unavailable_until_there_is_room(host: Host) -> None:
    store, feed, file = await host.open()
    kept = new_session(NOW, "kept")
    assert await store.commit(opening(kept))
    await file.write(lambda connection: connection.execute("PRAGMA max_page_count = 1"))
    large = [new_session(NOW, f"s{number}", claims={"x": "x" * 3000}) for number in range(20)]
    with pytest.raises(StoreUnavailable, match="full"):
        await store.commit(opening(*large, revocations=(a_revocation(NOW),)))
    assert (await store.load(large[0].sid))[0] is None
    assert list((await feed.snapshot()).revocations) == []
    assert (await store.load(kept.sid))[0] == kept
    assert await store.commit(opening(*large))  # the connection is a new one, without that limit


# --- one writer


async def test_a_lock_that_is_not_let_go_makes_it_unavailable_within_the_deadline(host: Host) -> None:
    """C100"""
    store, feed, _ = await host.open(deadline=0.3)
    session = new_session(NOW)
    assert await store.commit(opening(session))
    with host.by_hand() as connection:
        connection.execute("BEGIN IMMEDIATE")
        commits = [store.commit(Commit((change_of(rotated(session)),))) for _ in range(5)]
        failures = await asyncio.gather(*commits, feed.publish([a_revocation(NOW)]), return_exceptions=True)
        assert all(isinstance(failure, StoreUnavailable) for failure in failures)
        with pytest.raises(StoreUnavailable):
            await store.commit(Commit((change_of(rotated(session)),)))
        assert (await store.load(session.sid))[0] == session
        connection.execute("ROLLBACK")
    assert await eventually(store, Commit((change_of(rotated(session)),)))


async def eventually(store: SqliteStore, commit: Commit) -> bool:
    """Commit as soon as the writer is done with what waited before."""
    while True:
        try:
            return await store.commit(commit)
        except StoreUnavailable:
            await asyncio.sleep(0.01)


async def test_what_nobody_waits_for_any_more_is_left_out_unless_it_began(host: Host) -> None:
    _, _, file = await host.open(deadline=0.2)
    began, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    def slow(connection: sqlite3.Connection) -> None:
        began.set()
        go_on.wait()
        done.append("slow")

    first = asyncio.create_task(file.write(slow))
    await asyncio.to_thread(began.wait)
    second = asyncio.create_task(file.write(lambda connection: done.append("left out")))
    for task in (first, second):
        with pytest.raises(StoreUnavailable, match=r"gateway\.db did not answer within 0\.2 s"):
            await task
    go_on.set()
    await file.write(lambda connection: done.append("next"))
    assert done == ["slow", "next"]


async def test_a_reader_does_not_wait_for_the_writer(host: Host) -> None:
    store, _, file = await host.open()
    session = new_session(NOW)
    assert await store.commit(opening(session))
    go_on = threading.Event()
    writing = asyncio.create_task(file.write(lambda connection: go_on.wait()))
    assert (await store.load(session.sid))[0] == session
    assert not writing.done()
    go_on.set()
    await writing


async def test_work_that_fails_takes_nothing_else_with_it(host: Host) -> None:
    """One transaction serves many callers; a bug of one is not theirs."""
    store, _, file = await host.open()
    go_on = threading.Event()
    holding = asyncio.create_task(file.write(lambda connection: go_on.wait()))
    await asyncio.sleep(0)

    def broken(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM sessions")
        raise ZeroDivisionError

    sessions = [new_session(NOW, f"s{number}") for number in range(4)]
    before = [asyncio.create_task(store.commit(opening(session))) for session in sessions[:2]]
    await asyncio.sleep(0)
    failing = asyncio.create_task(file.write(broken))
    await asyncio.sleep(0)
    after = [asyncio.create_task(store.commit(opening(session))) for session in sessions[2:]]
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(ZeroDivisionError):
        await failing
    assert await asyncio.gather(holding, *before, *after) == [True] * 5
    assert [(await store.load(session.sid))[0] for session in sessions] == sessions


async def test_what_the_database_refuses_undoes_the_whole_transaction(host: Host) -> None:
    store, _, file = await host.open()
    with pytest.raises(StoreUnavailable, match="no such table"):
        await file.write(lambda connection: connection.execute("DELETE FROM sunspots"))
    assert await store.commit(opening(new_session(NOW)))


async def test_closing_completes_what_waits(host: Host) -> None:
    store, _, _ = await host.open()
    sessions = [new_session(NOW, f"s{number}") for number in range(300)]
    commits = [asyncio.create_task(store.commit(opening(session))) for session in sessions]
    await asyncio.sleep(0)
    await store.close()
    assert all(await asyncio.gather(*commits))
    assert host.number_of("sessions") == 300


async def test_closing_waits_no_longer_than_the_deadline(host: Host) -> None:
    _, _, file = await host.open(deadline=0.1)
    go_on = threading.Event()
    stuck = asyncio.create_task(file.write(lambda connection: go_on.wait()))
    await asyncio.sleep(0)
    await file.close()
    with pytest.raises(StoreUnavailable):
        await stuck
    go_on.set()


# --- another file


async def test_a_file_that_was_replaced_is_a_gap_and_used_from_then_on(host: Host) -> None:
    """C184"""
    store, feed, _ = await host.open()
    session = new_session(NOW)
    assert await store.commit(opening(session, revocations=(revocation_of(session),)))
    cursor = (await feed.snapshot()).cursor
    other = Host(host.path.parent.parent / "other", host._stack)
    newer, _, file = await other.open()
    replacing = new_session(NOW)
    await newer.commit(opening(replacing, revocations=(revocation_of(replacing),)))
    await file.close()
    for path in host.path.parent.iterdir():
        path.unlink()
    other.path.rename(host.path)
    with pytest.raises(Gap, match="epoch"):
        await feed.tail(cursor)
    assert list((await feed.snapshot()).revocations) == [revocation_of(replacing)]
    assert await store.commit(Commit((change_of(rotated(replacing)),)))
    assert (await store.load(session.sid))[0] is None


async def test_a_file_that_was_set_back_is_a_gap(host: Host, tmp_path: Path) -> None:
    _, feed, file = await host.open()
    await feed.publish([a_revocation(NOW)])
    await file.close()
    shutil.copy(host.path, tmp_path / "backup.db")
    _, feed, _ = await host.open()
    await feed.publish([a_revocation(NOW)])
    cursor = (await feed.snapshot()).cursor
    for path in host.path.parent.iterdir():
        path.unlink()
    shutil.copy(tmp_path / "backup.db", host.path)
    with pytest.raises(Gap, match="rewound"):
        await feed.tail(cursor)
    assert len((await feed.snapshot()).revocations) == 1


async def test_a_directory_that_vanished_is_unavailable_and_not_a_new_state(host: Host) -> None:
    """It may be a disk that is not mounted: sessions must not be taken for lost."""
    store, feed, _ = await host.open()
    session = new_session(NOW)
    assert await store.commit(opening(session))
    away = host.path.parent.with_name("away")
    host.path.parent.rename(away)
    for call in (store.load(session.sid), feed.snapshot(), store.commit(Commit((change_of(rotated(session)),)))):
        with pytest.raises(StoreUnavailable):
            await call
    away.rename(host.path.parent)
    assert (await store.load(session.sid))[0] == session


async def test_a_replaced_file_that_must_not_be_used_is_unavailable(host: Host) -> None:
    store, _, _ = await host.open()
    for path in host.path.parent.iterdir():
        path.unlink()
    with host.by_hand() as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreUnavailable, match="schema 99"):
        await store.load(new_session(NOW).sid)


async def test_a_record_that_cannot_be_read_logs_nobody_out(host: Host) -> None:
    store, _, _ = await host.open()
    session = new_session(NOW)
    await store.commit(opening(session))
    with host.by_hand() as connection:
        connection.execute("UPDATE sessions SET record = x'00'")
    for call in (store.load(session.sid), store.sessions_of("alice")):
        with pytest.raises(StoreUnavailable, match=session.sid):
            await call


# --- opening


async def test_a_network_file_system_is_refused(host: Host, tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"1 1 0:1 / / rw - ext4 a rw\n2 1 0:2 / {tmp_path}/state rw - nfs4 server:/ rw\n")
    with pytest.raises(BadStore, match="nfs4"):
        await host.file(mounts=mounts).open()
    assert not host.path.exists()


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("PRAGMA user_version = 2", "schema 2; this gateway"),
        ("CREATE TABLE cooking (recipe)", "something else"),
    ],
)
async def test_a_file_of_another_program_or_a_newer_gateway_is_refused(
    host: Host, statement: str, message: str
) -> None:
    host.path.parent.mkdir()
    with host.by_hand() as connection:
        connection.execute(statement)
    with pytest.raises(BadStore, match=message):
        await host.file().open()
    with host.by_hand() as connection:
        assert connection.execute("SELECT name FROM sqlite_master WHERE name = 'sessions'").fetchall() == []


async def test_memory_is_refused() -> None:
    with pytest.raises(BadStore, match="memory"):
        await SqliteFile(Path(":memory:")).open()


async def test_a_file_system_without_shared_memory_is_refused(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *_, **settings: connect(":memory:", **settings))
    with pytest.raises(BadStore, match="write-ahead log"):
        await host.file().open()


async def test_opening_can_be_tried_again(host: Host) -> None:
    host.path.parent.write_text("in the way")
    store = SqliteStore(host.file())
    with pytest.raises(StoreUnavailable):
        await store.open()
    host.path.parent.unlink()
    host.path.parent.mkdir()
    host.path.write_text("this is no database")
    with pytest.raises(StoreUnavailable, match="not a database"):
        await store.open()
    with pytest.raises(StoreUnavailable, match="not open"):
        await store.clock()
    host.path.unlink()
    await store.open()
    await store.open()
    assert await store.clock() == NOW * 1000


async def test_many_processes_can_begin_at_once(host: Host) -> None:
    files = [host.file() for _ in range(8)]
    await asyncio.gather(*(file.open() for file in files))
    epochs = {(await SqliteFeed(file).snapshot()).cursor for file in files}
    assert len(epochs) == 1


# --- long lists, and what is over


async def test_long_lists_are_read_in_pages(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "PAGE", 3)
    _, feed, _ = await host.open()
    start = (await feed.snapshot()).cursor
    for number in (0, 2, 3, 4, 9):
        await feed.publish([a_revocation(NOW) for _ in range(number)])
        everything = await feed.snapshot()
        tail = await feed.tail(start)
        assert list(tail.revocations) == list(everything.revocations)
        assert tail.cursor == everything.cursor
    assert len(everything.revocations) == 18


async def test_a_snapshot_is_never_of_two_files(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    class Replaced(SqliteFile):
        async def read(self, work: Any) -> Any:
            result = await super().read(work)
            for path in host.path.parent.iterdir():
                path.unlink()
            return result

    monkeypatch.setattr(sqlite, "PAGE", 3)
    _, feed, _ = await host.open()
    await feed.publish([a_revocation(NOW) for _ in range(5)])
    file = Replaced(host.path, host.clock, deadline=20)
    await file.open()
    with pytest.raises(StoreUnavailable, match="replaced"):
        await SqliteFeed(file).snapshot()
    await file.close()


async def test_what_is_over_is_deleted_little_by_little(host: Host) -> None:
    store, feed, _ = await host.open()
    short = [new_session(NOW, f"s{number}", idle_expires_at=NOW + 100) for number in range(SWEPT_AT_ONCE + 50)]
    await store.commit(opening(*short, revocations=tuple(a_revocation(NOW, until=NOW + 99) for _ in short)))
    kept, ended = new_session(NOW, "kept"), new_session(NOW, "ended")
    await store.commit(opening(kept, ended))
    await store.commit(Commit((change_of(over(ended)),), (revocation_of(ended),)))
    host.clock.now = kept.access_issued_at + 600 + KEPT - 1
    await feed.publish([a_revocation(NOW, until=2**31)])
    assert host.number_of("sessions") == len(short) + 2
    left = []
    for _ in range(4):
        host.clock.now += SWEEP_INTERVAL
        await feed.publish([])
        left.append((host.number_of("sessions"), host.number_of("revocations")))
        await feed.publish([])
        assert left[-1] == (host.number_of("sessions"), host.number_of("revocations"))
    assert 2 < left[0][0] < len(short)
    assert left[-1] == (2, 1)
    assert (await store.load(ended.sid))[0] == over(ended)
    assert (await store.load(kept.sid))[0] == kept


async def test_news_after_a_deletion_is_still_news(host: Host) -> None:
    """The numbers of deleted rows do not come again."""
    _, feed, _ = await host.open()
    await feed.publish([a_revocation(NOW, until=NOW + 1)])
    cursor = (await feed.snapshot()).cursor
    host.clock.now += 2 * SWEEP_INTERVAL
    await feed.publish([])
    assert host.number_of("revocations") == 0
    assert list((await feed.tail(cursor)).revocations) == []
    news = a_revocation(NOW)
    await feed.publish([news])
    assert list((await feed.tail(cursor)).revocations) == [news]


async def test_time_is_the_clock_of_the_host(host: Host) -> None:
    store, feed, _ = await host.open()
    host.clock.now = NOW + 1.2345
    assert await store.clock() == NOW * 1000 + 1234
    assert (await store.load(new_session(NOW).sid))[1] == NOW * 1000 + 1234
    assert (await store.sessions_of("alice"))[1] == NOW * 1000 + 1234
    reading = await feed.snapshot()
    assert (reading.now_ms, reading.age) == (NOW * 1000 + 1234, 0)
