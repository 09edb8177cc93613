"""A strict parser of whole HTTP/1.1 messages, which has nothing in common with the gateway's.

It takes only the one spelling that the gateway writes: what it cannot read, some server would read differently.
"""

import re
from dataclasses import dataclass

_REQUEST_LINE = re.compile(rb"([A-Z][A-Z-]*) (/[!-~]*) HTTP/1\.1")
_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-9][0-9][0-9]) ([ -~]*)")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([!-~\x80-\xff][\t -~\x80-\xff]*)?")
_LENGTH = re.compile(rb"0|[1-9][0-9]{0,17}")
_CHUNK_SIZE = re.compile(rb"0|[1-9a-f][0-9a-f]{0,15}")


class NotStrict(Exception):
    """Bytes that are no message in the one spelling."""


class Incomplete(Exception):
    """A message that is not there whole."""


@dataclass(frozen=True)
class Read:
    """A message. `start` is (method, target) or (status, reason); header names are in lower case."""

    start: tuple[str, str]
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    @property
    def status(self) -> int:
        return int(self.start[0])


def read_requests(data: bytes) -> tuple[list[Read], bytes]:
    """Return all whole requests, and the beginning of another one. Raises NotStrict."""
    requests = []
    while data:
        try:
            request, rest = _read_request(data)
        except Incomplete:
            break
        requests.append(request)
        data = rest
    return requests, data


def read_answers(data: bytes, methods: list[str]) -> tuple[list[Read], bytes]:
    """Return all whole answers, interim ones included, and the beginning of another one. Raises NotStrict.

    `methods` are those of the requests, in order: the one to HEAD has no body.
    """
    answers: list[Read] = []
    waiting = list(methods)
    while data:
        try:
            answer, rest = _read_answer(data, is_head=waiting[:1] == ["HEAD"])
        except Incomplete:
            break
        answers.append(answer)
        data = rest
        if answer.status >= 200:
            waiting = waiting[1:]
    return answers, data


def _read_request(data: bytes) -> tuple[Read, bytes]:
    line, headers, rest = _head(data)
    if not (match := _REQUEST_LINE.fullmatch(line)):
        raise NotStrict(f"request line {line!r}")
    if len(_values(headers, "host")) != 1:
        raise NotStrict("not one Host")
    body, rest = _body(headers, rest)
    return Read((match[1].decode(), match[2].decode()), headers, body), rest


def _read_answer(data: bytes, *, is_head: bool) -> tuple[Read, bytes]:
    line, headers, rest = _head(data)
    if not (match := _STATUS_LINE.fullmatch(line)):
        raise NotStrict(f"status line {line!r}")
    status = int(match[1])
    framing = _values(headers, "content-length") + _values(headers, "transfer-encoding")
    if (status < 200 or status == 204) and framing:
        raise NotStrict(f"{status} announces a body (RFC 9110 §8.6)")
    body = b""
    if status >= 200 and status not in (204, 304) and not is_head:
        if not framing:
            raise NotStrict("a body to the end of the connection")
        body, rest = _body(headers, rest)
    return Read((match[1].decode(), match[2].decode()), headers, body), rest


def _head(data: bytes) -> tuple[bytes, tuple[tuple[str, str], ...], bytes]:
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        raise Incomplete
    line, *fields = head.split(b"\r\n")
    headers = []
    for field in fields:
        if not (match := _FIELD.fullmatch(field)):
            raise NotStrict(f"header line {field!r}")
        headers.append((match[1].decode().lower(), (match[2] or b"").decode("latin-1")))
    return line, tuple(headers), rest


def _body(headers: tuple[tuple[str, str], ...], data: bytes) -> tuple[bytes, bytes]:
    lengths, codings = _values(headers, "content-length"), _values(headers, "transfer-encoding")
    if len(lengths) + len(codings) > 1 or codings not in ([], ["chunked"]):
        raise NotStrict(f"framing {lengths} {codings}")
    if codings:
        return _chunked(data)
    if not lengths:
        return b"", data
    if not _LENGTH.fullmatch(lengths[0].encode()):
        raise NotStrict(f"Content-Length {lengths[0]!r}")
    length = int(lengths[0])
    if len(data) < length:
        raise Incomplete
    return data[:length], data[length:]


def _chunked(data: bytes) -> tuple[bytes, bytes]:
    body = b""
    while True:
        line, end, data = data.partition(b"\r\n")
        if not end:
            raise Incomplete
        if not _CHUNK_SIZE.fullmatch(line):
            raise NotStrict(f"chunk size {line!r}")
        size = int(line, 16)
        if len(data) < size + 2:
            raise Incomplete
        if data[size : size + 2] != b"\r\n":
            raise NotStrict("no CRLF after the chunk, or a trailer")
        body, data = body + data[:size], data[size + 2 :]
        if not size:
            return body, data


def _values(headers: tuple[tuple[str, str], ...], name: str) -> list[str]:
    return [value for key, value in headers if key == name]
