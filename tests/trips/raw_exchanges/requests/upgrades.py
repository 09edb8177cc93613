"""Upgrades that are not asked for, not allowed, not granted, or that bring something else along."""

from tests.trips.raw_exchanges.exchange import Exchange, Seen, passes

GET = b"GET /open/x HTTP/1.1\r\nHost: a\r\n"
POST = b"POST /open/x HTTP/1.1\r\nHost: a\r\n"
SMUGGLED = b"GET /open/second HTTP/1.1\r\nHost: a\r\n\r\n"
ASKED = Seen(headers=(("connection", "Upgrade"), ("upgrade", "websocket")))
SECOND = Seen(target="/open/second")


def ignored(name: str, lines: bytes) -> Exchange:
    """Asks for what the gateway does not switch to: an ordinary request (RFC 9110 §7.8)."""
    return passes(name, GET + lines + b"\r\n\r\n", Seen())


def declined(name: str, lines: bytes) -> Exchange:
    """The upstream is asked, and answers 200: the connection goes on as HTTP."""
    return passes(name, GET + lines + b"\r\n\r\n", ASKED)


ROWS = [
    ignored("h2c", b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__"),
    ignored("h2c without settings", b"Connection: Upgrade\r\nUpgrade: h2c"),
    ignored("h2c in upper case", b"Connection: UPGRADE\r\nUpgrade: H2C"),
    ignored("h2c and websocket", b"Connection: Upgrade\r\nUpgrade: h2c, websocket"),
    ignored("websocket and h2c", b"Connection: Upgrade\r\nUpgrade: websocket, h2c"),
    ignored("h2c and websocket in two lines", b"Connection: Upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket"),
    ignored("websocket and h2c in two lines", b"Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c"),
    ignored("websocket twice", b"Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: websocket"),
    ignored("TLS/1.0", b"Connection: Upgrade\r\nUpgrade: TLS/1.0"),
    ignored("HTTP/2.0", b"Connection: Upgrade\r\nUpgrade: HTTP/2.0"),
    ignored("an unknown protocol", b"Connection: Upgrade\r\nUpgrade: foo/2"),
    ignored("websocket with a version", b"Connection: Upgrade\r\nUpgrade: websocket/13"),
    ignored("an empty Upgrade", b"Connection: Upgrade\r\nUpgrade:"),
    ignored("Upgrade without Connection", b"Upgrade: websocket"),
    ignored("Upgrade and Connection: keep-alive", b"Connection: keep-alive\r\nUpgrade: websocket"),
    ignored("Connection: upgrade without Upgrade", b"Connection: upgrade"),
    ignored("Connection: upgraded", b"Connection: upgraded\r\nUpgrade: websocket"),
    ignored("HTTP2-Settings alone", b"HTTP2-Settings: AAMAAABkAAQAAP__"),
    ignored("Upgrade-Insecure-Requests in Connection", b"Connection: upgrade-insecure-requests\r\nUpgrade: websocket"),
    declined("websocket, answered 200", b"Connection: Upgrade\r\nUpgrade: websocket"),
    declined("websocket in upper case", b"CONNECTION: UPGRADE\r\nUPGRADE: WEBSOCKET"),
    declined("Connection with more", b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket"),
    declined("Connection in two lines", b"Connection: keep-alive\r\nConnection: Upgrade\r\nUpgrade: websocket"),
    passes(
        "websocket, answered 200, and data sent early",
        GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + SMUGGLED,
        ASKED,
        SECOND,
    ),
    passes(
        "h2c, and a request sent early",
        GET + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + SMUGGLED,
        Seen(),
        SECOND,
    ),
    passes(
        "websocket with a length",
        POST + b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\nhello",
        Seen("POST", body=b"hello"),
    ),
    passes(
        "websocket with chunks",
        POST
        + b"Connection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        Seen("POST", body=b"hello"),
    ),
    passes(
        "websocket with a request as its body",
        POST + b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED,
        Seen("POST", body=SMUGGLED),
    ),
    passes(
        "h2c with a length, and a request behind",
        POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\nhello" + SMUGGLED,
        Seen("POST", body=b"hello"),
        SECOND,
    ),
    passes(
        "websocket with Content-Length: 0, and a request behind",
        GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n" + SMUGGLED,
        ASKED,
        SECOND,
    ),
    Exchange(
        "websocket with a bad chunk",
        POST
        + b"Connection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n",
        (400,),
        ends=True,
        begins=True,
    ),
    Exchange(
        "websocket with CL and TE",
        POST
        + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
        + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        (400,),
        ends=True,
    ),
    Exchange(
        "websocket to a route that refuses",
        b"GET /api/x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + SMUGGLED,
        (401, 200),
        (SECOND,),
    ),
    Exchange(
        "websocket in HTTP/1.0",
        b"GET /open/x HTTP/1.0\r\nHost: a\r\nConnection: Upgrade, keep-alive\r\nUpgrade: websocket\r\n\r\n",
        (200,),
        (Seen(),),
    ),
]
