"""What an upstream says beyond the one answer that it was asked for, at once or on the idle connection."""

from tests.trips.raw_exchanges.exchange import Answering, doubtful, harmless

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
NEXT = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"

EXTRAS = {
    "a second answer": NEXT,
    "two more answers": NEXT * 2,
    "half an answer": b"HTTP/1.1 200 OK\r\nContent-Le",
    "a head without its body": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
    "an answer to the end": b"HTTP/1.1 200 OK\r\n\r\npoison",
    "a 1xx": b"HTTP/1.1 103 Early Hints\r\n\r\n",
    "a 100": b"HTTP/1.1 100 Continue\r\n\r\n",
    "a 101": b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "a 204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "a 408": b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    "garbage": b"garbage",
    "a byte": b"H",
    "a NUL": b"\x00",
    "a line feed": b"\n",
    "an empty line": b"\r\n",
    "a last chunk": b"0\r\n\r\n",
}
AT_ONCE = [(doubtful if extra.strip() else harmless)(f"{name} at once", OK + extra) for name, extra in EXTRAS.items()]
LATER = [doubtful(f"{name} on the idle connection", OK, late=extra) for name, extra in EXTRAS.items()]
AFTER_HEAD = [
    doubtful(
        f"{name} after the answer to HEAD",
        OK[:-2] + extra,
        b"",
        asks=b"HEAD /open/x HTTP/1.1\r\nHost: a\r\n\r\n",
        methods=("HEAD",),
    )
    for name, extra in EXTRAS.items()
]

ROWS: list[Answering] = [*AT_ONCE, *LATER, *AFTER_HEAD]
