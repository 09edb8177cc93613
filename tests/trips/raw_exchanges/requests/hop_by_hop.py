"""Headers that belong to one hop, and `Connection` lists that name others."""

from tests.trips.raw_exchanges.exchange import Exchange, Seen, ends, passes, refused
from tests.trips.running import token

GET = b"GET /open/x HTTP/1.1\r\nHost: a\r\n"
BEARER = f"Authorization: Bearer {token()}\r\n".encode()
API = b"GET /api/x HTTP/1.1\r\nHost: a\r\n" + BEARER
ALICE = Seen(target="/api/x", headers=(("x-user-id", "alice"), ("x-principal-type", "user")))


def listed(name: str, options: bytes, *others: bytes) -> Exchange:
    return refused(name, GET + b"Connection: " + options + b"\r\n" + b"".join(o + b"\r\n" for o in others) + b"\r\n")


def dropped(name: str, lines: bytes, *kept: tuple[str, str]) -> Exchange:
    return passes(name, GET + lines + b"\r\n\r\n", Seen(headers=kept))


def known(name: str, lines: bytes) -> Exchange:
    """With a good token, whatever else: the upstream sees who is calling."""
    return passes(name, API + lines + b"\r\n\r\n", ALICE)


ROWS = [
    listed("Connection names Host", b"Host"),
    listed("Connection names Authorization", b"Authorization", b"Authorization: Bearer x"),
    listed("Connection names Cookie", b"keep-alive, cookie", b"Cookie: a=b"),
    listed("Connection names Origin", b"Origin"),
    listed("Connection names Expect", b"Expect"),
    listed("Connection names Content-Length", b"Content-Length"),
    listed("Connection names Transfer-Encoding", b"Transfer-Encoding"),
    listed("Connection names Content-Length in odd case", b"close-not,\tCONTENT-length "),
    listed("Connection names Host in a second line", b"x-a\r\nConnection: host"),
    refused(
        "Connection names Content-Length of a body",
        b"POST /open/x HTTP/1.1\r\nHost: a\r\nConnection: content-length\r\nContent-Length: 5\r\n\r\nhello",
    ),
    refused(
        "Connection names Transfer-Encoding of a body",
        b"POST /open/x HTTP/1.1\r\nHost: a\r\nConnection: transfer-encoding\r\nContent-Length: 5\r\n\r\nhello",
    ),
    known("Connection names the identity header", b"Connection: X-User-Id"),
    known("Connection names the identity header, which came too", b"Connection: x-user-id\r\nX-User-Id: admin"),
    known("Connection names X-Forwarded-For", b"Connection: X-Forwarded-For, X-Forwarded-Proto, X-Request-ID"),
    known("the identity header", b"X-User-Id: admin"),
    known("the identity header twice", b"X-User-Id: admin\r\nx-user-id: root"),
    known("the identity header with underscores", b"X_User_Id: admin"),
    known("the identity header with dots", b"X.User.Id: admin"),
    known("the identity header, empty", b"X-User-Id:"),
    known("Proxy-Connection names the identity header", b"Proxy-Connection: X-User-Id"),
    dropped("the identity header on a public route", b"X-User-Id: admin"),
    dropped("Connection names a header of its own", b"Connection: X-A\r\nX-A: 1\r\nX-B: 2", ("x-b", "2")),
    dropped("Connection names two, in two lines", b"Connection: X-A\r\nConnection: x-b\r\nX-A: 1\r\nX-B: 2"),
    dropped("Connection names nothing", b"Connection: ,,  ,"),
    dropped("Connection is empty", b"Connection:"),
    dropped("Connection names itself", b"Connection: connection, keep-alive"),
    dropped("Keep-Alive", b"Connection: keep-alive\r\nKeep-Alive: timeout=1000"),
    dropped("Proxy-Connection", b"Proxy-Connection: keep-alive"),
    dropped("Proxy-Authorization", b"Proxy-Authorization: Basic eDp5"),
    dropped("Proxy-Authenticate", b"Proxy-Authenticate: Basic"),
    dropped("Proxy", b"Proxy: http://evil:80"),
    dropped("TE", b"TE: trailers"),
    dropped("TE and Connection", b"TE: trailers\r\nConnection: TE"),
    dropped("Trailer", b"Trailer: X-User-Id"),
    dropped("a traceparent of a stranger", b"traceparent: 00-" + b"1" * 32 + b"-" + b"1" * 16 + b"-00"),
    dropped("X-Forwarded-For of a stranger", b"X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: https"),
    dropped("X-Forwarded-Host of a stranger", b"X-Forwarded-Host: internal\r\nX_Forwarded_Host: internal"),
    dropped("Forwarded of a stranger", b"Forwarded: for=127.0.0.1;host=internal"),
    dropped("X-Original-URL and X-Rewrite-URL", b"X-Original-URL: /admin\r\nX-Rewrite-URL: /admin"),
    dropped("X-HTTP-Method-Override", b"X-HTTP-Method-Override: DELETE", ("x-http-method-override", "DELETE")),
    dropped("Expect that asks for nothing known", b"Expect: 200-ok"),
    Exchange("Connection: close", GET + b"Connection: close\r\n\r\n", (200,), (Seen(),), ends=True),
    Exchange("Connection: close among others", GET + b"Connection: x, CLOSE\r\n\r\n", (200,), (Seen(),), ends=True),
    Exchange(
        "HTTP/1.0 that does not keep alive", b"GET /open/x HTTP/1.0\r\nHost: a\r\n\r\n", (200,), (Seen(),), ends=True
    ),
    passes("HTTP/1.0 that keeps alive", b"GET /open/x HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", Seen()),
    ends("Connection: close, then a fold", GET + b"Connection: close\r\n x\r\n\r\n"),
]

POST = b"POST /open/x HTTP/1.1\r\nHost: a\r\n"
HELLO = Seen("POST", body=b"hello")
EXPECTING = Seen("POST", body=b"hello", headers=(("expect", "100-continue"),))
EXPECT = [
    passes(
        "Expect: 100-continue, body at once",
        POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
        EXPECTING,
    ),
    passes("Expect in upper case", POST + b"Expect: 100-CONTINUE\r\nContent-Length: 5\r\n\r\nhello", EXPECTING),
    passes("Expect with another word", POST + b"Expect: 100-continue, x\r\nContent-Length: 5\r\n\r\nhello", HELLO),
    passes("Expect of something else", POST + b"Expect: 100-contin\r\nContent-Length: 5\r\n\r\nhello", HELLO),
    passes("Expect, empty", POST + b"Expect:\r\nContent-Length: 5\r\n\r\nhello", HELLO),
    passes(
        "Expect twice", POST + b"Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello", HELLO
    ),
    passes(
        "Expect with an underscore",
        POST + b"Ex_pect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
        Seen("POST", body=b"hello", headers=(("ex_pect", "100-continue"),)),
    ),
    passes("Expect without a body", GET + b"Expect: 100-continue\r\n\r\n", Seen(headers=(("expect", "100-continue"),))),
    passes(
        "Expect in HTTP/1.0",
        POST.replace(b"1.1", b"1.0")
        + b"Connection: keep-alive\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
        HELLO,
    ),
    Exchange(
        "Expect of a route that refuses",
        b"POST /api/x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
        (401,),
        ends=True,
    ),
]
ROWS += EXPECT
