"""Sessions and revocations for the tests of stores."""

import secrets
from base64 import urlsafe_b64encode
from typing import Any

from gateway.model.revocation import FOREVER, Level, Revocation, session_mark
from gateway.model.session import End, EndReason, Session
from gateway.state.base import Change, Commit, shard_of_subject


def new_session(now: int, subject: str = "alice", *, shards: int = 1, **fields: Any) -> Session:
    """Return a session that begins now, with a random id on the right shard."""
    sid = urlsafe_b64encode(shard_of_subject(subject, shards).to_bytes(2) + secrets.token_bytes(14)).decode()
    usual: dict[str, Any] = {
        "sid": sid.rstrip("="),
        "subject": subject,
        "client_id": "web",
        "generation": 1,
        "rotated_at_ms": now * 1000,
        "access_issued_at": now,
        "access_lifetime": 600,
        "created_at": now,
        "last_used_at": now,
        "idle_expires_at": now + 7 * 86400,
        "absolute_expires_at": now + 30 * 86400,
        "scope": "orders:read orders:write",
        "access_scope": "orders:read orders:write",
        "salt": secrets.token_bytes(8),
        "refresh_kid": 1,
        "signing_kid": "k1",
        "claims": {"roles": ["customer"]},
        "device": "Firefox on Linux",
        "address": "192.0.2.0/24",
        "version": 1,
    }
    return Session(**(usual | fields))


def opening(*sessions: Session, **fields: Any) -> Commit:
    """Return the commit of new sessions."""
    return Commit(tuple(Change(session, None) for session in sessions), **fields)


def next_version(session: Session, **fields: Any) -> Session:
    """Return the session as it is after one more commit."""
    return session._replace(version=session.version + 1, **fields)


def change_of(session: Session) -> Change:
    """Return the change from the version before."""
    return Change(session, session._replace(version=session.version - 1).edition)


def rotated(session: Session) -> Session:
    """Return the session after an exchange."""
    return next_version(session, generation=session.generation + 1, rotated_at_ms=session.rotated_at_ms + 1000)


def over(session: Session, reason: EndReason = EndReason.LOGOUT) -> Session:
    """Return the session after its end."""
    return next_version(session, ended=End(reason, session.rotated_at_ms + 1))


def revocation_of(session: Session) -> Revocation:
    """Return the revocation of all access tokens of a session."""
    until = session.access_expires_at + 600
    return Revocation(Level.SESSION, session_mark(session.sid), FOREVER, until, session.rotated_at_ms)


def a_revocation(now: int, before: int = 0, **fields: Any) -> Revocation:
    """Return a revocation of something that only this test knows."""
    usual: dict[str, Any] = {
        "level": Level.SUBJECT,
        "mark": secrets.token_bytes(16),
        "before": before or now,
        "until": now + 3600,
        "at_ms": now * 1000,
    }
    return Revocation(**(usual | fields))
