"""HTTP/1.1 read so strictly that nothing can be read in two ways (RFC 9112): what the gateway writes must pass.

Written apart from the gateway, on purpose.
"""

import re
from dataclasses import dataclass

Header = tuple[bytes, bytes]

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") (/[!-~]*) HTTP/1\.1")
_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-9][0-9]{2}) [A-Za-z' -]*")
_HEADER = re.compile(rb"(" + _TOKEN + rb"): ((?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[\t!-~\x80-\xff])?)?)")
_SIZE = re.compile(rb"[0-9a-f]{1,8}")


@dataclass(frozen=True, slots=True)
class Message:
    """A message, or the beginning of one. `start` is the request line's method and target, or the status."""

    start: tuple[bytes, ...]
    headers: tuple[Header, ...]
    body: bytes
    is_complete: bool

    def values(self, name: bytes) -> list[bytes]:
        return [value for each, value in self.headers if each.lower() == name]


def read_requests(stream: bytes) -> list[Message]:
    """Return the requests in a stream; only the last may be incomplete. A head that is not complete is no request."""
    requests: list[Message] = []
    while b"\r\n\r\n" in stream:
        head, _, stream = stream.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        match = _REQUEST_LINE.fullmatch(first)
        assert match, first
        headers = _headers(lines)
        assert [name for name, _ in headers].count(b"Host") == 1
        assert sum(name.lower() == b"host" for name, _ in headers) == 1
        body, stream, is_complete = _body(headers, stream, ends_with_connection=False)
        requests.append(Message((match[1], match[2]), headers, body, is_complete))
        assert is_complete or not stream, "bytes after an incomplete request"
    return requests


def read_answers(stream: bytes, methods: list[bytes], *, is_closed: bool) -> list[Message]:
    """Return the answers to requests with these methods, interim ones left out; only the last may be incomplete.

    An answer that ends with the connection is complete if that is closed.
    """
    answers: list[Message] = []
    while b"\r\n\r\n" in stream:
        head, _, stream = stream.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        match = _STATUS_LINE.fullmatch(first)
        assert match, first
        headers, status = _headers(lines), int(match[1])
        if 100 <= status < 200 and status != 101:
            assert not {name.lower() for name, _ in headers} & {b"content-length", b"transfer-encoding"}
            continue
        method = methods[len(answers)] if len(answers) < len(methods) else b"GET"
        if method == b"HEAD" or status in (101, 204, 304):
            body, is_complete = b"", True
        else:
            body, stream, is_complete = _body(headers, stream, ends_with_connection=True)
        answers.append(Message((match[1],), headers, body, is_complete or is_closed))
        if status == 101:
            break
    return answers


def _headers(lines: list[bytes]) -> tuple[Header, ...]:
    headers = []
    for line in lines:
        match = _HEADER.fullmatch(line)
        assert match, line
        headers.append((match[1], match[2]))
    return tuple(headers)


def _body(headers: tuple[Header, ...], stream: bytes, *, ends_with_connection: bool) -> tuple[bytes, bytes, bool]:
    """Return the body, what follows it, and whether it is complete."""
    lengths = [value for name, value in headers if name.lower() == b"content-length"]
    codings = [value for name, value in headers if name.lower() == b"transfer-encoding"]
    assert len(lengths) + len(codings) <= 1, "framed twice"
    if codings:
        assert codings == [b"chunked"]
        return _chunks(stream)
    if lengths:
        assert re.fullmatch(rb"[0-9]{1,18}", lengths[0]), lengths
        length = int(lengths[0])
        return stream[:length], stream[length:], len(stream) >= length
    return (stream, b"", False) if ends_with_connection else (b"", stream, True)


def _chunks(stream: bytes) -> tuple[bytes, bytes, bool]:
    body = b""
    while b"\r\n" in stream:
        line, _, rest = stream.partition(b"\r\n")
        assert _SIZE.fullmatch(line), line
        size = int(line, 16)
        if size == 0:
            assert rest[:2] == b"\r\n"[: len(rest)], "a trailer"
            return body, rest[2:], len(rest) >= 2
        body += rest[:size]
        if len(rest) < size + 2:
            return body, b"", False
        assert rest[size : size + 2] == b"\r\n", "a chunk that does not end"
        stream = rest[size + 2 :]
    return body, b"", False
