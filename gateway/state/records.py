"""How a session is written down, the same in every store.

Its edition, a space, and JSON with short names. Times are counted from the login, and what a session does not have is
left out: so a record is about 300 bytes. The same session
always gives the same bytes, since a store compares records to see that a commit was done before; claims keep their
order, since tokens made from them must come out the same. A record that cannot be read is never "no such session":
it raises StoreUnavailable, and nobody is logged out by it.
"""

import json
from binascii import a2b_base64, b2a_base64
from typing import Any

from gateway.model.errors import StoreUnavailable
from gateway.model.session import End, EndReason, Session

FORMAT = 1
"""Other numbers are refused: a field that an older gateway does not know would be lost when it writes."""
KEPT = 3600
"""Seconds for which a record is kept beyond its tokens: leeways, and the clock of a new primary."""
_FROM_STANDARD, _TO_STANDARD = str.maketrans("+/", "-_"), str.maketrans("-_", "+/")
"""Base64 is written with the characters of URLs."""


def encode(session: Session) -> bytes:
    """Return the record of a session. Raises ValueError or TypeError for claims that JSON cannot express.

    The names, and what they mean, are stored: never change them. What a session does not have is left out.
    """
    begin = session.created_at
    record: dict[str, Any] = {
        "f": FORMAT,
        "u": session.subject,
        "c": session.client_id,
        "g": session.generation,
        "al": session.access_lifetime,
        "b": begin,
        "s": session.scope,
        "rk": session.refresh_kid,
        "sk": session.signing_kid,
        "a": session.access_issued_at - begin,
        "l": session.last_used_at - begin,
    }
    if session.idle_expires_at is not None:
        record["ie"] = session.idle_expires_at - begin
    if session.absolute_expires_at is not None:
        record["ae"] = session.absolute_expires_at - begin
    record["r"] = session.rotated_at_ms - begin * 1000
    if session.access_scope != session.scope:
        record["as"] = session.access_scope
    record["n"] = b2a_base64(session.salt, newline=False).decode().translate(_FROM_STANDARD)
    _add_what_there_is(record, session)
    return b"%d %b" % (session.edition, _encode(record).encode("utf-8", "surrogatepass"))


def _add_what_there_is(record: dict[str, Any], session: Session) -> None:
    if session.acknowledged:
        record["k"] = True
    if session.claims:
        record["m"] = dict(session.claims)
    if session.device:
        record["d"] = session.device
    if session.address:
        record["ip"] = session.address
    if session.ended is not None:
        record["e"] = [session.ended.reason.value, session.ended.at_ms]


_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def decode(record: bytes, sid: str) -> Session:
    """Return the session that was written down under `sid`. Raises StoreUnavailable if it cannot be read."""
    try:
        edition, _, text = record.partition(b" ")
        version, commit_id = divmod(int(edition), 2**32)
        return _read(_decode(text.decode("utf-8", "surrogatepass")), sid, version, commit_id)
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


_decode = json.JSONDecoder().decode


def _read(record: Any, sid: str, version: int, commit_id: int) -> Session:
    if record["f"] != FORMAT:
        raise _UnknownFormat
    begin: int = record["b"]
    get = record.get
    ended = get("e")
    return Session(
        sid=sid,
        subject=record["u"],
        client_id=record["c"],
        generation=record["g"],
        rotated_at_ms=begin * 1000 + record["r"],
        access_issued_at=begin + record["a"],
        access_lifetime=record["al"],
        created_at=begin,
        last_used_at=begin + record["l"],
        idle_expires_at=begin + record["ie"] if "ie" in record else None,
        absolute_expires_at=begin + record["ae"] if "ae" in record else None,
        scope=record["s"],
        access_scope=get("as", record["s"]),
        salt=a2b_base64(record["n"].translate(_TO_STANDARD)),
        refresh_kid=record["rk"],
        signing_kid=record["sk"],
        acknowledged=get("k", False),
        claims=get("m", {}),
        device=get("d", ""),
        address=get("ip", ""),
        ended=None if ended is None else End(EndReason(ended[0]), ended[1]),
        version=version,
        commit_id=commit_id,
    )


class _UnknownFormat(ValueError):
    pass
