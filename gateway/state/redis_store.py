"""Sessions in Redis: a record each, and an index per subject; all of a subject share one slot.

A record begins with its edition. A commit is one script, so it happens wholly or not at all.
"""

import secrets
from base64 import urlsafe_b64encode
from hashlib import blake2b

from gateway.model.errors import StoreUnavailable
from gateway.model.session import Session
from gateway.state.base import Commit, shard_of_session, shard_of_subject
from gateway.state.records import decode, encode, kept_until, live_until
from gateway.state.redis_checks import check
from gateway.state.redis_feed import NEWS_KEPT, entries_of
from gateway.state.redis_line import Reply
from gateway.state.redis_link import Link
from gateway.state.redis_scripts import COMMIT, SESSIONS, plain

ATTEMPTS = 8
"""How often the index of a subject is read again that changed meanwhile."""
_TIME = plain("TIME")


class RedisStore:
    """A SessionStore. It opens and closes the link."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._new_epoch = secrets.token_hex(8)

    @property
    def shards(self) -> int:
        return self._link.shards

    async def open(self) -> None:
        await check(self._link, self._new_epoch)

    async def load(self, sid: str) -> tuple[Session | None, int]:
        shard = shard_of_session(sid, self.shards)
        value, time = await self._link.ask(shard, plain("GET", self._record_key(shard, sid)), _TIME)
        return None if value is None else decode(value, sid), _ms(time)

    async def commit(self, commit: Commit) -> bool:
        shard = self._shard_of(commit)
        keys = [
            *self._link.keys(shard).feed,
            self._index_key(shard, commit.changes[0].session.subject if commit.changes else ""),
        ]
        expected = commit.expected_sids
        new_epoch = secrets.token_hex(8) if commit.revocations else ""
        arguments: list[bytes | str | int] = [new_epoch, self.shards, NEWS_KEPT]
        arguments += (len(commit.changes), -1 if expected is None else len(expected))
        for change in commit.changes:
            session = change.session
            keys.append(self._record_key(shard, session.sid))
            edition = "" if change.expected_edition is None else change.expected_edition
            arguments += (edition, encode(session), kept_until(session), live_until(session), session.sid)
        if expected:
            arguments += sorted(expected)
        for revocation in commit.revocations:
            arguments += entries_of(revocation)
        return bool(await self._link.confirm(shard, COMMIT.command(keys, arguments), is_durable=commit.is_durable))

    async def sessions_of(self, subject: str) -> tuple[list[Session], int]:
        shard = shard_of_subject(subject, self.shards)
        sids: list[str] = []
        for _ in range(ATTEMPTS):
            keys = [self._index_key(shard, subject), *(self._record_key(shard, sid) for sid in sids)]
            ((time, listed, is_whole, values),) = await self._link.ask(shard, SESSIONS.command(keys, sids))
            if is_whole:
                sessions = [decode(value, sid) for sid, value in zip(sids, values, strict=True) if value]
                return sorted(sessions, key=lambda session: (session.created_at, session.sid)), _ms(time)
            sids = [sid.decode() for sid in listed]
        raise StoreUnavailable("the sessions of the subject keep changing")

    async def clock(self) -> int:
        return _ms((await self._link.ask(0, _TIME))[0])

    async def close(self) -> None:
        await self._link.close()

    def _shard_of(self, commit: Commit) -> int:
        return shard_of_subject(commit.changes[0].session.subject, self.shards) if commit.changes else 0

    def _record_key(self, shard: int, sid: str) -> bytes:
        return self._link.keys(shard).of(b"s:", sid.encode())

    def _index_key(self, shard: int, subject: str) -> bytes:
        """Named by a digest: short, whatever a subject is called."""
        name = blake2b(subject.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        return self._link.keys(shard).of(b"u:", urlsafe_b64encode(name).rstrip(b"="))


def _ms(time: Reply) -> int:
    seconds, micros = time
    return int(seconds) * 1000 + int(micros) // 1000
