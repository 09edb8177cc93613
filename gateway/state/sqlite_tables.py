"""What the SQLite file holds, and every statement on it. The caller brings the connection and the transaction.

A revocation that raises something is a new row, with a new number: so who reads on from a number misses nothing.
The numbers never come twice (AUTOINCREMENT), and rows come into being in their order, since one writes at a time.
"""

import secrets
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.model.revocation import LEVELS, Revocation
from gateway.state.base import BadStore, Change, Commit, Gap
from gateway.state.records import encode, kept_until, live_until

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE meta (epoch TEXT NOT NULL);
CREATE TABLE sessions (
    sid TEXT PRIMARY KEY, subject BLOB NOT NULL, edition INTEGER NOT NULL,
    live_until INTEGER NOT NULL, kept_until INTEGER NOT NULL, record BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX live_sessions ON sessions (subject) WHERE live_until > 0;
CREATE TABLE revocations (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, level INTEGER NOT NULL, mark BLOB NOT NULL, before INTEGER NOT NULL,
    until INTEGER NOT NULL, at_ms INTEGER NOT NULL, since_ms INTEGER NOT NULL, UNIQUE (mark, level, since_ms)
);
CREATE INDEX forgettable_revocations ON revocations (until);
"""

SWEPT_AT_ONCE = 500


def prepare(connection: sqlite3.Connection) -> None:
    """Make the tables if there are none. Raises BadStore for those of a newer gateway, or of another program."""
    if (version := _version(connection)) == 0:
        connection.execute("BEGIN IMMEDIATE")
        if (version := _version(connection)) == 0:
            _create(connection)
            version = SCHEMA_VERSION
        connection.execute("COMMIT")
    if version != SCHEMA_VERSION:
        raise BadStore(f"the file has schema {version}; this gateway knows {SCHEMA_VERSION}")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _create(connection: sqlite3.Connection) -> None:
    if connection.execute("SELECT 1 FROM sqlite_master").fetchone():
        raise BadStore("the file is a database of something else")
    for statement in _SCHEMA.split(";"):
        connection.execute(statement)
    connection.execute("INSERT INTO meta VALUES (?)", (secrets.token_hex(8),))
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


# --- sessions


def read_record(connection: sqlite3.Connection, sid: str, now: int) -> bytes | None:
    """Return the record of a session that is still kept."""
    row = connection.execute("SELECT record FROM sessions WHERE sid = ? AND kept_until > ?", (sid, now)).fetchone()
    return None if row is None else row[0]


def read_subject(connection: sqlite3.Connection, subject: str, now: int) -> list[tuple[str, bytes]]:
    """Return the ids and records of the sessions of a subject that have not ended and not expired."""
    return connection.execute(
        "SELECT sid, record FROM sessions WHERE subject = ? AND live_until > 0 AND live_until > ?",
        (_subject_key(subject), now),
    ).fetchall()


@dataclass(frozen=True, slots=True)
class Write:
    """A commit as rows: what takes time or may fail is done before the transaction."""

    rows: tuple[tuple[str, bytes, int, int, int, bytes], ...]
    expected: tuple[int | None, ...]
    revocations: tuple[Revocation, ...]
    subject: bytes
    expected_sids: frozenset[str] | None


def write_of(commit: Commit) -> Write:
    """Return what a commit writes."""
    return Write(
        rows=tuple(_row(change) for change in commit.changes),
        expected=tuple(change.expected_edition for change in commit.changes),
        revocations=commit.revocations,
        subject=_subject_key(commit.changes[0].session.subject) if commit.changes else b"",
        expected_sids=commit.expected_sids,
    )


def apply(connection: sqlite3.Connection, write: Write, now: int) -> bool:
    """Write all of it, or nothing if a record or the index is not as expected. What was done before is done again."""
    stored = [
        connection.execute("SELECT edition, record FROM sessions WHERE sid = ?", (row[0],)).fetchone()
        for row in write.rows
    ]
    is_done = bool(write.rows) and all(
        old is not None and old[1] == row[-1] for old, row in zip(stored, write.rows, strict=True)
    )
    if not is_done:
        editions = tuple(None if old is None else old[0] for old in stored)
        if editions != write.expected or not _is_index_as_expected(connection, write, now):
            return False
        connection.executemany("INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?, ?, ?)", write.rows)
    merge(connection, write.revocations)
    return True


def _is_index_as_expected(connection: sqlite3.Connection, write: Write, now: int) -> bool:
    if write.expected_sids is None:
        return True
    rows = connection.execute(
        "SELECT sid FROM sessions WHERE subject = ? AND live_until > 0 AND live_until > ?", (write.subject, now)
    )
    return {sid for (sid,) in rows} == write.expected_sids


def _row(change: Change) -> tuple[str, bytes, int, int, int, bytes]:
    session = change.session
    subject = _subject_key(session.subject)
    return session.sid, subject, session.edition, live_until(session), kept_until(session), encode(session)


def _subject_key(subject: str) -> bytes:
    """Return a subject as bytes: SQLite text cannot hold every string."""
    return subject.encode("utf-8", "surrogatepass")


# --- revocations


def merge(connection: sqlite3.Connection, revocations: Iterable[Revocation]) -> None:
    """Put revocations in force: the greatest number and the greatest end count.

    One that takes effect later is a row of its own: it must not hide one that is in effect already.
    """
    for each in revocations:
        before, until, at_ms = each.before, each.until, each.at_ms
        old = connection.execute(
            "SELECT before, until, at_ms FROM revocations WHERE mark = ? AND level = ? AND since_ms = ?",
            (each.mark, each.level.value, each.since_ms),
        ).fetchone()
        if old is not None:
            if before <= old[0]:
                before, at_ms = old[0], old[2]
            until = max(until, old[1])
            if (before, until) == old[:2]:
                continue
        connection.execute(
            "INSERT OR REPLACE INTO revocations (level, mark, before, until, at_ms, since_ms)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (each.level.value, each.mark, before, until, at_ms, each.since_ms),
        )


@dataclass(frozen=True, slots=True)
class Page:
    """Some revocations in the order of their numbers. The last page ends with the highest number there ever was."""

    revocations: Sequence[Revocation]
    epoch: str
    seq: int
    is_last: bool


def read_page(connection: sqlite3.Connection, epoch: str | None, after: int, now: int, limit: int) -> Page:
    """Return the revocations in force with numbers above `after`. Raises Gap if this is not the file it came from."""
    [(current,)] = connection.execute("SELECT epoch FROM meta")
    [(newest,)] = connection.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'revocations'")
    if epoch is not None and epoch != current:
        raise Gap("epoch")
    if after > newest:
        raise Gap("rewound")
    rows = connection.execute(
        "SELECT seq, level, mark, before, until, at_ms, since_ms FROM revocations"
        " WHERE seq > ? AND until >= ? ORDER BY seq LIMIT ?",
        (after, now, limit),
    ).fetchall()
    is_last = len(rows) < limit
    revocations = [
        Revocation(LEVELS[level], mark, before, until, at_ms, since_ms)
        for _, level, mark, before, until, at_ms, since_ms in rows
    ]
    return Page(revocations, current, newest if is_last else rows[-1][0], is_last)


# --- what is over


def sweep(connection: sqlite3.Connection, after: str, now: int) -> str:
    """Delete what need not be kept, of some sessions and revocations; return the session to go on after.

    Sessions are walked in the order of their ids: an index by end would have to be written at every exchange.
    """
    [(last,)] = connection.execute(
        "SELECT max(sid) FROM (SELECT sid FROM sessions WHERE sid > ? ORDER BY sid LIMIT ?)", (after, SWEPT_AT_ONCE)
    )
    if last is not None:
        connection.execute("DELETE FROM sessions WHERE sid > ? AND sid <= ? AND kept_until <= ?", (after, last, now))
    connection.execute(
        "DELETE FROM revocations WHERE seq IN (SELECT seq FROM revocations WHERE until < ? LIMIT ?)",
        (now, SWEPT_AT_ONCE),
    )
    return last or ""
