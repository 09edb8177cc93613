"""Request lines: the version, the method, and what stands between them and before them."""

from tests.trips.raw_exchanges.exchange import Exchange, Seen, ends, passes, refused

REST = b"\r\nHost: a\r\n\r\n"
X = Seen()


def start(name: str, line: bytes, status: int = 400) -> Exchange:
    return ends(name, line + REST, status)


VERSIONS = [
    start("no version", b"GET /open/x", 505),
    ends("HTTP/0.9, without headers", b"GET /open/x\r\n\r\n", 505),
    ends("HTTP/0.9, one line", b"GET /open/x\r\n"),
    start("HTTP/0.9 by name", b"GET /open/x HTTP/0.9", 505),
    start("HTTP/2.0", b"GET /open/x HTTP/2.0", 505),
    start("HTTP/1.2", b"GET /open/x HTTP/1.2"),
    start("HTTP/1.9", b"GET /open/x HTTP/1.9"),
    start("HTTP/3.0", b"GET /open/x HTTP/3.0"),
    start("HTTP/1", b"GET /open/x HTTP/1"),
    start("HTTP/11", b"GET /open/x HTTP/11"),
    start("HTTP/1.10", b"GET /open/x HTTP/1.10"),
    start("HTTP/01.1", b"GET /open/x HTTP/01.1"),
    start("HTTP/1.01", b"GET /open/x HTTP/1.01"),
    start("HTTP/1,1", b"GET /open/x HTTP/1,1"),
    start("HTTP 1.1", b"GET /open/x HTTP 1.1"),
    start("HTTP/ 1.1", b"GET /open/x HTTP/ 1.1"),
    start("HTTP/-1.1", b"GET /open/x HTTP/-1.1"),
    start("HTTP/a.b", b"GET /open/x HTTP/a.b"),
    start("http/1.1", b"GET /open/x http/1.1"),
    start("Http/1.1", b"GET /open/x Http/1.1"),
    start("HTTPS/1.1", b"GET /open/x HTTPS/1.1"),
    start("HTP/1.1", b"GET /open/x HTP/1.1"),
    start("a tab behind the version", b"GET /open/x HTTP/1.1\t"),
    start("a word behind the version", b"GET /open/x HTTP/1.1 x"),
    start("a version twice", b"GET /open/x HTTP/1.1 HTTP/1.1"),
    start("a NUL behind the version", b"GET /open/x HTTP/1.1\x00"),
    ends("CR CR LF behind the version", b"GET /open/x HTTP/1.1\r" + REST),
    ends("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    start("the preface of HTTP/2 with a path", b"PRI /open/x HTTP/2.0"),
    start("RTSP/2.0", b"GET /open/x RTSP/2.0", 505),
    start("ICE/1.0", b"GET /open/x ICE/1.0"),
]
BETWEEN = [
    start("a tab behind the method", b"GET\t/open/x HTTP/1.1"),
    start("a tab before the version", b"GET /open/x\tHTTP/1.1"),
    start("a tab and a space behind the method", b"GET\t /open/x HTTP/1.1"),
    start("a vertical tab behind the method", b"GET\x0b/open/x HTTP/1.1"),
    start("a vertical tab before the version", b"GET /open/x\x0bHTTP/1.1"),
    start("a no-break space before the version", b"GET /open/x\xa0HTTP/1.1"),
    start("a CR behind the method", b"GET\r/open/x HTTP/1.1"),
    start("a LF behind the method", b"GET\n/open/x HTTP/1.1"),
    start("a CR before the version", b"GET /open/x\rHTTP/1.1"),
    start("a space in the target", b"GET /open/x y HTTP/1.1"),
    start("a version in the target", b"GET /open/x HTTP/1.1/y HTTP/1.1"),
    start("no target", b"GET HTTP/1.1"),
    start("no target, two spaces", b"GET  HTTP/1.1"),
    start("a space before the method", b" GET /open/x HTTP/1.1"),
    start("a tab before the method", b"\tGET /open/x HTTP/1.1"),
    start("a NUL before the method", b"\x00GET /open/x HTTP/1.1"),
    start("a byte order mark", b"\xef\xbb\xbfGET /open/x HTTP/1.1"),
    ends("empty", b"\x00\x00\x00\x00\r\n\r\n"),
    ends("a header first", b"Host: a\r\nGET /open/x HTTP/1.1\r\n\r\n"),
    ends("TLS on a plain port", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 32),
    ends("SSH on a plain port", b"SSH-2.0-OpenSSH_9.0\r\n"),
    ends("an answer", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    passes("two spaces, which llhttp tolerates", b"GET  /open/x  HTTP/1.1" + REST, X),
    Exchange("RTSP, which llhttp does not tell from HTTP/1.0", b"GET /open/x RTSP/1.0" + REST, (200,), (X,), ends=True),
    Exchange("SOURCE of ICE", b"SOURCE /open/x ICE/1.0" + REST, (200,), (Seen("SOURCE"),), ends=True),
    passes("a CRLF first", b"\r\nGET /open/x HTTP/1.1" + REST, X),
    passes("five CRLFs first", b"\r\n" * 5 + b"GET /open/x HTTP/1.1" + REST, X),
]
METHODS = [
    start("a method in lower case", b"get /open/x HTTP/1.1"),
    start("a method in mixed case", b"Get /open/x HTTP/1.1"),
    start("an unknown method", b"BREW /open/x HTTP/1.1"),
    start("a method with one letter too many", b"GETS /open/x HTTP/1.1"),
    start("a method with one letter too few", b"GE /open/x HTTP/1.1"),
    start("a method with an underscore", b"GET_ /open/x HTTP/1.1"),
    start("a method with a hyphen", b"GET- /open/x HTTP/1.1"),
    start("a method in quotes", b'"GET" /open/x HTTP/1.1'),
    start("a method with a NUL", b"GE\x00T /open/x HTTP/1.1"),
    start("a method with 8-bit characters", b"G\xcbT /open/x HTTP/1.1"),
    start("a method with a sign", b"GE@T /open/x HTTP/1.1"),
    start("a very long method", b"A" * 5000 + b" /open/x HTTP/1.1"),
    start("no method", b"/open/x HTTP/1.1"),
    refused("TRACE", b"TRACE /open/x HTTP/1.1" + REST),
    refused("CONNECT with a path", b"CONNECT /open/x HTTP/1.1" + REST),
    refused("CONNECT", b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"),
    refused("CONNECT with a length", b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nContent-Length: 5\r\n\r\nhello"),
    Exchange(
        "CONNECT with chunks",
        b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        (400,),
        ends=True,
        finishes=True,
    ),
    passes("OPTIONS of a path", b"OPTIONS /open/x HTTP/1.1" + REST, Seen("OPTIONS")),
    passes("M-SEARCH", b"M-SEARCH /open/x HTTP/1.1" + REST, Seen("M-SEARCH")),
    passes("PROPFIND", b"PROPFIND /open/x HTTP/1.1" + REST, Seen("PROPFIND")),
]

ROWS = [*VERSIONS, *BETWEEN, *METHODS]
