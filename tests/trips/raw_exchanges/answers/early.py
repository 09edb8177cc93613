"""Answers that come before the request is there whole."""

from typing import Any

from tests.trips.raw_exchanges.exchange import Answering, bad, broken, doubtful

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HALF = b"POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello"
CHUNK = b"POST /open/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
NEXT = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"


def early(name: str, says: bytes, status: int, body: bytes = b"") -> list[Answering]:
    return [
        doubtful(f"{name} to {what}", says, body, status, asks=asks, closes=True, is_early=True, methods=("POST",))
        for what, asks in {"half a length": HALF, "half of the chunks": CHUNK}.items()
    ]


MORE: dict[str, Any] = {"asks": CHUNK, "is_early": True, "methods": ("POST",)}
ROWS = [
    *early("200", OK, 200, b"ok"),
    *early("413", b"HTTP/1.1 413 X\r\nContent-Length: 0\r\n\r\n", 413),
    *early("413 with close", b"HTTP/1.1 413 X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 413),
    *early("401 with chunks", b"HTTP/1.1 401 X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n", 401, b"no"),
    *early("204", b"HTTP/1.1 204 X\r\n\r\n", 204),
    *early("two answers", OK + NEXT, 200, b"ok"),
    *early("an answer and garbage", OK + b"garbage", 200, b"ok"),
    bad("garbage", b"garbage\r\n\r\n", closes=True, **MORE),
    bad("a bad length", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", closes=True, **MORE),
    broken("half an answer, then FIN", OK[:-1], ending="fin", **MORE),
    broken("half an answer, then RST", OK[:-1], ending="rst", **MORE),
]
