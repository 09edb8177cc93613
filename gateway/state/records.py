"""How a session is written down, the same in every store.

Its edition, a space, and JSON with short names. Times are counted from the login, and what a session does not have is
left out: so a record is about 300 bytes. The same session
always gives the same bytes, since a store compares records to see that a commit was done before; claims keep their
order, since tokens made from them must come out the same. A record that cannot be read is never "no such session":
it raises StoreUnavailable, and nobody is logged out by it.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

from gateway.model.errors import StoreUnavailable
from gateway.model.session import End, EndReason, Session

FORMAT = 1
"""Other numbers are refused: a field that an older gateway does not know would be lost when it writes."""
KEPT = 3600
"""Seconds for which a record is kept beyond its tokens: leeways, and the clock of a new primary."""

_ALWAYS = {
    "u": "subject",
    "c": "client_id",
    "g": "generation",
    "al": "access_lifetime",
    "b": "created_at",
    "s": "scope",
    "rk": "refresh_kid",
    "sk": "signing_kid",
}
_WHERE_THERE_IS_ONE: dict[str, tuple[str, Any]] = {
    "k": ("acknowledged", False),
    "m": ("claims", {}),
    "d": ("device", ""),
    "ip": ("address", ""),
}
"""Name → field, and the value that is left out. The names, and what they mean, are stored: never change them."""
_TIMES = {"a": "access_issued_at", "l": "last_used_at"}
_LIMITS = {"ie": "idle_expires_at", "ae": "absolute_expires_at"}
"""Name → field with a time in seconds, counted from `created_at`; of the limits one may be missing."""


def encode(session: Session) -> bytes:
    """Return the record of a session. Raises ValueError or TypeError for claims that JSON cannot express."""
    begin = session.created_at
    record: dict[str, Any] = {"f": FORMAT}
    record |= {name: getattr(session, field) for name, field in _ALWAYS.items()}
    times = {name: getattr(session, field) for name, field in (_TIMES | _LIMITS).items()}
    record |= {name: at - begin for name, at in times.items() if at is not None}
    record["r"] = session.rotated_at_ms - begin * 1000
    if session.access_scope != session.scope:
        record["as"] = session.access_scope
    record["n"] = urlsafe_b64encode(session.salt).decode()
    for name, (field, absent) in _WHERE_THERE_IS_ONE.items():
        if (value := getattr(session, field)) != absent:
            record[name] = dict(value) if name == "m" else value
    if session.ended is not None:
        record["e"] = [session.ended.reason.value, session.ended.at_ms]
    text = json.dumps(record, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return b"%d %b" % (session.edition, text.encode("utf-8", "surrogatepass"))


def decode(record: bytes, sid: str) -> Session:
    """Return the session that was written down under `sid`. Raises StoreUnavailable if it cannot be read."""
    try:
        edition, _, text = record.partition(b" ")
        version, commit_id = divmod(int(edition), 2**32)
        return _read(json.loads(text.decode("utf-8", "surrogatepass")), sid, version, commit_id)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        # No word of the record: what it says is nobody's business.
        raise StoreUnavailable(f"the record of session {sid} cannot be read: {type(error).__name__}") from None


def live_until(session: Session) -> int:
    """Return up to which Unix second the session is listed in its subject's index; 0 for one that has ended."""
    return 0 if session.ended is not None else session.expires_at


def kept_until(session: Session) -> int:
    """Return up to which Unix second the record is kept, ended or not.

    As long as a token of it could be good, so that an old one is recognised for what it is.
    """
    return max(session.expires_at, session.access_expires_at) + KEPT


def _read(record: Any, sid: str, version: int, commit_id: int) -> Session:
    if record["f"] != FORMAT:
        raise _UnknownFormat
    begin: int = record["b"]
    fields = {field: record[name] for name, field in _ALWAYS.items()}
    for name, (field, absent) in _WHERE_THERE_IS_ONE.items():
        fields[field] = record.get(name, absent)
    for name, field in _TIMES.items():
        fields[field] = begin + record[name]
    for name, field in _LIMITS.items():
        fields[field] = begin + record[name] if name in record else None
    ended = record.get("e")
    return Session(
        sid=sid,
        version=version,
        commit_id=commit_id,
        rotated_at_ms=begin * 1000 + record["r"],
        access_scope=record.get("as", record["s"]),
        salt=urlsafe_b64decode(record["n"]),
        ended=None if ended is None else End(EndReason(ended[0]), ended[1]),
        **fields,
    )


class _UnknownFormat(ValueError):
    pass
