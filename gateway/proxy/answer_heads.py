"""The heads of answers: what they say of the body and the connection, and what of them the client gets."""

from typing import Final, Literal

from gateway.engine.answer_contract import AnswerContract
from gateway.engine.headers import HOP_BY_HOP, spelled
from gateway.model.errors import UpstreamMalformed
from gateway.model.memo import Memo
from gateway.model.request import Header
from gateway.proxy.heads import LONGEST_BODY, Framing

_Meaning = Literal["plain", "length", "coding", "connection", "cors", "owned"]
"""What a header of an answer means, beside what it means to the client."""
_MEANINGS: Final[dict[bytes, _Meaning]] = {
    b"content-length": "length",
    b"transfer-encoding": "coding",
    b"connection": "connection",
    b"proxy-connection": "connection",  # as llhttp reads it
}
_CORS_PREFIX: Final = b"access-control-"
_USUAL_DIGITS: Final = 18
_NOTHING: Final[frozenset[bytes]] = frozenset()
_KEEP_ALIVE: Final = frozenset({b"keep-alive"})
_NEVER_LISTED: Final = frozenset({b"content-length", b"content-type", b"set-cookie", b"cache-control"})
"""Headers that an upstream's `Connection` cannot take away."""


class AnswerHead:
    """An answer's head as it was read: the end of its body, the end of its connection, and the lines to pass on."""

    def __init__(self, framing: Framing, lines: bytes, *, closes: bool) -> None:
        self.framing: Final = framing
        self.lines: Final = lines
        self.closes: Final = closes


class _Kind:
    """What becomes of a header: `prefix` is `Name: `, or nothing to drop it; `name` is its one spelling."""

    def __init__(self, meaning: _Meaning, prefix: bytes, name: bytes) -> None:
        self.meaning: Final = meaning
        self.prefix: Final = prefix
        self.name: Final = name


class AnswerHeads:
    """Reads the heads of answers. Remembers what becomes of each header name."""

    def __init__(self, contract: AnswerContract) -> None:
        self._contract = contract
        self._memo: Memo[_Kind] = Memo()

    def read(
        self,
        status: int,
        version: str,
        headers: list[Header],
        *,
        is_head: bool = False,
        marks_cors: bool = False,
        is_own: bool = False,
    ) -> AnswerHead:
        """Return the head of an answer (RFC 9112 §6.3, §9.3). Raises UpstreamMalformed.

        With `marks_cors` the upstream's own CORS headers are not passed on. `is_own`: the gateway itself answers, which
        may set what no upstream may.
        """
        known = self._memo.known
        special = _Special(self._contract, status, marks_cors=marks_cors, is_own=is_own)
        lines: list[bytes] = []
        for name, value in headers:
            kind = known.get(name) or self._classify(name)
            kept = value if kind.meaning == "plain" else special.take(kind, value)
            if kept is not None and kind.prefix:
                lines.append(kind.prefix + kept + b"\r\n")
        framing = special.framing(version, is_head=is_head)
        options = special.options()
        if options and options != _KEEP_ALIVE:
            lines = [line for line in lines if line.partition(b":")[0].lower() not in options - _NEVER_LISTED]
        keeps_alive = b"close" not in options and (version == "1.1" or b"keep-alive" in options)
        return AnswerHead(framing, b"".join(lines), closes=framing == "close" or not keeps_alive)

    def _classify(self, name: bytes) -> _Kind:
        lower, spelling = name.lower(), spelled(name)
        prefix = b"" if lower in HOP_BY_HOP else name + b": "
        if spelling in self._contract.owned:
            kind = _Kind("owned", prefix, spelling)
        elif lower.startswith(_CORS_PREFIX):
            kind = _Kind("cors", prefix, lower)
        else:
            kind = _Kind(_MEANINGS.get(lower, "plain"), prefix, lower)
        return self._memo.remember(name, kind)


class _Special:
    """The headers of one answer that mean something beside what they mean to the client."""

    def __init__(self, contract: AnswerContract, status: int, *, marks_cors: bool, is_own: bool) -> None:
        self._contract = contract
        self._status = status
        self._marks_cors = marks_cors
        self._is_own = is_own
        self._has_length = False
        self._codings: list[bytes] = []
        self._connection: list[bytes] = []

    def take(self, kind: _Kind, value: bytes) -> bytes | None:
        """Return the value as the client gets it; None if it does not."""
        meaning = kind.meaning
        if meaning == "length":
            return self._length(value)
        if meaning == "connection":
            self._connection.append(value)
        elif meaning == "coding":
            self._codings.append(value)
        elif meaning == "cors":
            return None if self._marks_cors else value
        elif not (self._is_own or self._contract.keeps(kind.name, value)):
            return None
        return value

    def _length(self, value: bytes) -> bytes | None:
        self._has_length = True
        if self._status < 200 or self._status == 204:
            return None  # RFC 9110 §8.6
        if value[:1] == b"0" or len(value) > _USUAL_DIGITS:
            return _one_spelling(value)
        return value

    def framing(self, version: str, *, is_head: bool) -> Framing:
        codings = self._codings
        if codings and version == "1.0":
            raise UpstreamMalformed("the upstream used Transfer-Encoding in an HTTP/1.0 answer")
        if codings and [coding.lower() for coding in codings] != [b"chunked"]:
            raise UpstreamMalformed("the upstream used a transfer coding other than chunked")
        if is_head or self._status in (204, 304):
            return "none"
        if codings:
            return "chunked"
        return "length" if self._has_length else "close"

    def options(self) -> frozenset[bytes]:
        """Return the options of `Connection`."""
        values = self._connection
        if not values:
            return _NOTHING
        if len(values) == 1 and values[0].lower() == b"keep-alive":
            return _KEEP_ALIVE
        return frozenset(option.strip(b" \t").lower() for value in values for option in value.split(b","))


def _one_spelling(length: bytes) -> bytes:
    if (number := int(length)) > LONGEST_BODY:
        raise UpstreamMalformed("a Content-Length that many clients cannot count")
    return b"%d" % number


def refuse_interim_body(headers: list[Header]) -> None:
    """Raise UpstreamMalformed if a 1xx answer announces a body: it has none, but llhttp may read one."""
    for name, value in headers:
        lower = name.lower()
        if lower == b"transfer-encoding" or (lower == b"content-length" and value.strip(b"0")):
            raise UpstreamMalformed("an interim answer announces a body")
