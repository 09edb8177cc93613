"""Several requests in one segment: each is judged by itself, and what cannot be read ends the row."""

from tests.trips.raw_exchanges.exchange import Exchange, Seen, passes

GET = b"GET /open/%d HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /open/%d HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"POST /open/%d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
API = b"GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n"


def got(n: int) -> Seen:
    return Seen(target=f"/open/{n}")


def posted(n: int) -> Seen:
    return Seen("POST", f"/open/{n}", b"hello")


ROWS = [
    passes("ten GETs", b"".join(GET % n for n in range(10)), *(got(n) for n in range(10))),
    passes("ten POSTs", b"".join(POST % n for n in range(10)), *(posted(n) for n in range(10))),
    passes("all kinds", GET % 1 + POST % 2 + CHUNKED % 3 + GET % 4, got(1), posted(2), posted(3), got(4)),
    passes("empty lines between", GET % 1 + b"\r\n\r\n" + GET % 2, got(1), got(2)),
    passes("an empty line after a body", POST % 1 + b"\r\n" + GET % 2, posted(1), got(2)),
    Exchange("garbage second", GET % 1 + b"garbage\r\n\r\n", (200, 400), (got(1),), ends=True),
    Exchange("garbage third", GET % 1 + POST % 2 + b"garbage\r\n\r\n", (200, 200, 400), (got(1), posted(2)), ends=True),
    Exchange("two bytes too many after a body", POST % 1 + b"xx", (200, 400), (posted(1),), ends=True),
    Exchange("a NUL after a body", POST % 1 + b"\x00", (200, 400), (posted(1),), ends=True),
    Exchange("a space after a body", POST % 1 + b" ", (200, 400), (posted(1),), ends=True),
    Exchange("a chunk too many", CHUNKED % 1 + b"0\r\n\r\n", (200, 400), (posted(1),), ends=True),
    Exchange("HTTP/0.9 second", GET % 1 + b"GET /open/2\r\n\r\n", (200, 505), (got(1),), ends=True),
    Exchange("a fold second", GET % 1 + b" " + GET % 2, (200, 400), (got(1),), ends=True),
    Exchange(
        "CL and TE second",
        GET % 1
        + b"POST /open/2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        (200, 400),
        (got(1),),
        ends=True,
    ),
    Exchange(
        "a bad chunk second",
        GET % 1 + b"POST /open/2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\nhello\r\n",
        (200, 400),
        (got(1),),
        ends=True,
        begins=True,
    ),
    Exchange("a refused one between", GET % 1 + API + GET % 2, (200, 401, 200), (got(1), got(2))),
    Exchange(
        "a refused one with a body between",
        GET % 1 + POST.replace(b"/open/%d", b"/api/x") + GET % 2,
        (200, 401, 200),
        (got(1), got(2)),
    ),
    Exchange(
        "a refused one with chunks between",
        GET % 1 + CHUNKED.replace(b"/open/%d", b"/api/x") + GET % 2,
        (200, 401, 200),
        (got(1), got(2)),
    ),
    Exchange(
        "a refused one with chunks first ends the connection",
        CHUNKED.replace(b"/open/%d", b"/api/x") + GET % 2,
        (401,),
        ends=True,
    ),
    Exchange(
        "what follows Connection: close",
        b"GET /open/1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + GET % 2,
        (200,),
        (got(1),),
        ends=True,
    ),
    Exchange(
        "what follows HTTP/1.0",
        b"GET /open/1 HTTP/1.0\r\nHost: a\r\n\r\n" + GET % 2,
        (200,),
        (got(1),),
        ends=True,
    ),
    Exchange(
        "what follows a POST with Connection: close",
        b"POST /open/1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello" + GET % 2,
        (200,),
        (posted(1),),
        ends=True,
    ),
    Exchange(
        "HEAD, and a GET behind",
        b"HEAD /open/1 HTTP/1.1\r\nHost: a\r\n\r\n" + GET % 2,
        (200, 200),
        (Seen("HEAD", "/open/1"), got(2)),
        methods=("HEAD", "GET"),
    ),
    Exchange(
        "CONNECT, and a GET behind",
        b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n" + GET % 2,
        (400, 200),
        (got(2),),
    ),
]
