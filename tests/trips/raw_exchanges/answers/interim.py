"""1xx answers, and switches of protocol."""

from tests.trips.raw_exchanges.exchange import Answering, bad, good

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
OLD = b"GET /open/x HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"
EXPECTING = b"POST /open/x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello"
ASKING = b"GET /open/x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


def with_body(name: str, status: bytes, framing: bytes, body: bytes) -> Answering:
    """RFC 9110 §8.6, RFC 9112 §6.1: it has none, whatever it says."""
    return bad(name, b"HTTP/1.1 " + status + b"\r\n" + framing + b"\r\n\r\n" + body + OK)


ROWS = [
    good("100 that nobody asked for", CONTINUE + OK),
    good("100 that was asked for", CONTINUE + OK, statuses=(100, 200), asks=EXPECTING),
    good("100 twice", CONTINUE * 2 + OK, statuses=(100, 100, 200), asks=EXPECTING),
    good("102", b"HTTP/1.1 102 Processing\r\n\r\n" + OK, statuses=(102, 200)),
    good("103", HINTS + OK, statuses=(103, 200)),
    good("103 to HTTP/1.0", HINTS + OK, asks=OLD, has=(("connection", "keep-alive"),)),
    good("199", b"HTTP/1.1 199 X\r\n\r\n" + OK, statuses=(199, 200)),
    good("sixteen of them", HINTS * 16 + OK, statuses=(103,) * 16 + (200,)),
    bad("seventeen of them", HINTS * 17 + OK, statuses=(103,) * 16 + (502,)),
    bad("endlessly many", CONTINUE * 5000),
    good("CL 0 in 103", b"HTTP/1.1 103 X\r\nContent-Length: 0\r\n\r\n" + OK, statuses=(103, 200)),
    good("hop-by-hop headers in 103", b"HTTP/1.1 103 X\r\nConnection: x-a\r\nX-A: 1\r\n\r\n" + OK, statuses=(103, 200)),
    with_body("100 with a body", b"100 Continue", b"Content-Length: 6", b"poison"),
    with_body("102 with a body", b"102 X", b"Content-Length: 6", b"poison"),
    with_body("103 with a body", b"103 X", b"Content-Length: 6", b"poison"),
    with_body("104 with a body", b"104 X", b"Content-Length: 6", b"poison"),
    with_body("199 with a body", b"199 X", b"Content-Length: 6", b"poison"),
    with_body("103 with chunks", b"103 X", b"Transfer-Encoding: chunked", b"6\r\npoison\r\n0\r\n\r\n"),
    with_body("104 with chunks", b"104 X", b"Transfer-Encoding: chunked", b"6\r\npoison\r\n0\r\n\r\n"),
    with_body("100 with an answer as its body", b"100 Continue", b"Content-Length: %d" % len(OK), OK),
    with_body("104 with an answer as its body", b"104 X", b"Content-Length: %d" % len(OK), OK),
    bad("104 with a length and nothing else", b"HTTP/1.1 104 X\r\nContent-Length: 5\r\n\r\n"),
    bad("103 with a fold", b"HTTP/1.1 103 X\r\nA: b\r\n c\r\n\r\n" + OK),
    bad("103 with LF LF", b"HTTP/1.1 103 X\n\n" + OK),
    bad("103, then the end", HINTS, statuses=(103, 502), ending="fin"),
    bad("100, then garbage", CONTINUE + b"garbage\r\n\r\n"),
    bad("101 that nobody asked for", SWITCH),
    bad("101 that nobody asked for, and an answer", SWITCH + OK),
    bad("a bare 101", b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + OK),
    bad("101 without Connection", b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n" + OK),
    bad("101 without Upgrade", b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\n\r\n" + OK),
    bad("101 with a length", b"HTTP/1.1 101 X\r\nContent-Length: 2\r\n\r\nok"),
    bad("101 to h2c", SWITCH.replace(b"websocket", b"h2c"), asks=ASKING),
    bad("101 to two protocols", SWITCH.replace(b"websocket", b"websocket, h2c"), asks=ASKING),
    bad("101 to nothing", SWITCH.replace(b"websocket", b""), asks=ASKING),
    bad("a bare 101 that was asked for", b"HTTP/1.1 101 X\r\n\r\n" + OK, asks=ASKING),
    bad("101 with a body that was asked for", SWITCH[:-2] + b"Content-Length: 2\r\n\r\nok", asks=ASKING),
    bad(
        "101 with chunks that was asked for", SWITCH[:-2] + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", asks=ASKING
    ),
    good("200 to an upgrade", OK, asks=ASKING),
    good(
        "426 to an upgrade",
        OK.replace(b"200 OK", b"426 X\r\nConnection: Upgrade\r\nUpgrade: h2c"),
        status=426,
        asks=ASKING,
    ),
]
