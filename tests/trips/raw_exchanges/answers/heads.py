"""Status lines and headers of answers."""

from tests.trips.raw_exchanges.exchange import Answering, bad, doubtful, good

TWO = b"Content-Length: 2\r\n\r\nok"
HEAD = b"HTTP/1.1 200 OK\r\n"


def start(name: str, line: bytes) -> Answering:
    return bad(name, line + b"\r\n" + TWO)


def line(name: str, text: bytes) -> Answering:
    return bad(name, HEAD + text + b"\r\n" + TWO)


def passed(name: str, text: bytes, *headers: tuple[str, str], lacks: tuple[str, ...] = ()) -> Answering:
    return good(name, HEAD + text + b"\r\n" + TWO, has=headers, lacks=lacks)


START_LINES = [
    start("HTTP/0.9, only text", b"hello"),
    start("HTTP/0.9, HTML", b"<html>"),
    start("HTTP/0.9 by name", b"HTTP/0.9 200 OK"),
    start("HTTP/2.0", b"HTTP/2.0 200 OK"),
    start("HTTP/2", b"HTTP/2 200 OK"),
    start("HTTP/1.2", b"HTTP/1.2 200 OK"),
    start("HTTP/1", b"HTTP/1 200 OK"),
    start("HTTP/11", b"HTTP/11 200 OK"),
    start("http/1.1", b"http/1.1 200 OK"),
    start("ICY", b"ICY 200 OK"),
    start("no version", b"200 OK"),
    start("no status", b"HTTP/1.1"),
    start("no status, with a space", b"HTTP/1.1 "),
    start("status 0", b"HTTP/1.1 0 OK"),
    start("status 00", b"HTTP/1.1 00 OK"),
    start("status 000", b"HTTP/1.1 000 OK"),
    start("status 99", b"HTTP/1.1 99 OK"),
    start("status 099", b"HTTP/1.1 099 OK"),
    start("status 1000", b"HTTP/1.1 1000 OK"),
    start("status 2000", b"HTTP/1.1 2000 OK"),
    start("status 20", b"HTTP/1.1 20 OK"),
    start("status abc", b"HTTP/1.1 abc OK"),
    start("status 20x", b"HTTP/1.1 20x OK"),
    start("status -200", b"HTTP/1.1 -200 OK"),
    start("status +200", b"HTTP/1.1 +200 OK"),
    start("status 2 0 0", b"HTTP/1.1 2 0 0 OK"),
    start("a tab before the status", b"HTTP/1.1\t200 OK"),
    start("a tab behind the status", b"HTTP/1.1 200\tOK"),
    start("a space first", b" HTTP/1.1 200 OK"),
    start("a NUL first", b"\x00HTTP/1.1 200 OK"),
    start("a request", b"GET /open/x HTTP/1.1"),
    bad("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    bad("a frame of HTTP/2", b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + b"\x00" * 18),
    bad("TLS", b"\x15\x03\x01\x00\x02\x02\x46"),
    bad("SSH", b"SSH-2.0-OpenSSH_9.0\r\n"),
    bad("nothing", b"", ending="fin"),
    bad("nothing, with RST", b"", ending="rst"),
    bad("half a status line", b"HTTP/1.1 20", ending="fin"),
    bad("half a head", HEAD + b"Content-", ending="fin"),
    bad("a head without its end", HEAD + b"Content-Length: 2\r\n", ending="fin"),
    doubtful("RTSP/1.0, which llhttp does not tell from HTTP", b"RTSP/1.0 200 OK\r\n" + TWO),
    good("no reason", b"HTTP/1.1 200 \r\n" + TWO),
    good("no reason and no space", b"HTTP/1.1 200\r\n" + TWO),
    good("8-bit reason", b"HTTP/1.1 200 \xc3\xa9\xff\r\n" + TWO),
    good("a long reason", b"HTTP/1.1 200 " + b"x" * 5000 + b"\r\n" + TWO),
    good("a reason that looks like another status", b"HTTP/1.1 200 500 HTTP/1.1 404\r\n" + TWO),
    good("status 299", b"HTTP/1.1 299 OK\r\n" + TWO, status=299),
    good("status 600", b"HTTP/1.1 600 OK\r\n" + TWO, status=600),
    good("status 999", b"HTTP/1.1 999 OK\r\n" + TWO, status=999),
    good("an empty line first", b"\r\nHTTP/1.1 200 OK\r\n" + TWO),
]
LINES = [
    line("a fold", b"X-A: 1\r\n 2"),
    line("a fold with a tab", b"X-A: 1\r\n\tSet-Cookie: a=b"),
    bad("a fold of the first line", HEAD + b" X-A: 1\r\n" + TWO),
    line("a bare LF between headers", b"X-A: 1\nX-B: 2"),
    line("a bare CR in a value", b"X-A: 1\rSet-Cookie: a=b"),
    line("CR CR LF", b"X-A: 1\r"),
    line("a NUL in a value", b"X-A: 1\x002"),
    line("a control character in a value", b"X-A: 1\x012"),
    line("DEL in a value", b"X-A: 1\x7f"),
    line("a space in a name", b"X A: 1"),
    line("a space before the colon", b"X-A : 1"),
    line("a tab before the colon", b"X-A\t: 1"),
    line("no colon", b"nonsense"),
    line("no name", b": 1"),
    line("8-bit characters in a name", b"X-\xc3\xa9: 1"),
    line("a NUL in a name", b"X\x00A: 1"),
    line("brackets in a name", b"X[A]: 1"),
    bad("LF everywhere", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
    bad("CR everywhere", b"HTTP/1.1 200 OK\rContent-Length: 2\r\rok"),
    bad("LF at the end of the head", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\nok"),
    bad("LF behind the status line", b"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nok"),
    bad("CR behind the status line", b"HTTP/1.1 200 OK\rContent-Length: 2\r\n\r\nok"),
    bad("a huge value", HEAD + b"X-A: " + b"a" * 200_000 + b"\r\n" + TWO),
    bad("a huge name", HEAD + b"A" * 200_000 + b": 1\r\n" + TWO),
    bad("a huge reason", b"HTTP/1.1 200 " + b"a" * 200_000 + b"\r\n" + TWO),
    bad("100,000 headers", HEAD + b"A: 1\r\n" * 100_000 + TWO),
    passed("8-bit characters in a value", b"X-A: \xc3\xa9", ("x-a", "\xc3\xa9")),
    passed("an empty value", b"X-A:", ("x-a", "")),
    passed("an encoded CRLF in a value", b"Location: /%0d%0aSet-Cookie:a=b", ("location", "/%0d%0aSet-Cookie:a=b")),
    passed(
        "several Set-Cookies, kept apart",
        b"Set-Cookie: a=1\r\nSet-Cookie: b=2",
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
    ),
    passed("several of another, kept apart", b"Vary: a\r\nVary: b", ("vary", "a"), ("vary", "b")),
]
CONNECTION = [
    passed(
        "Connection names a header", b"Connection: X-A\r\nX-A: 1\r\nX-B: 2", ("x-b", "2"), lacks=("x-a", "connection")
    ),
    passed("Connection names Set-Cookie", b"Connection: Set-Cookie\r\nSet-Cookie: a=1", ("set-cookie", "a=1")),
    passed("Connection names Content-Length", b"Connection: Content-Length", ("content-length", "2")),
    passed(
        "Connection names Cache-Control",
        b"Connection: cache-control\r\nCache-Control: no-store",
        ("cache-control", "no-store"),
    ),
    passed(
        "Connection: keep-alive", b"Connection: keep-alive\r\nKeep-Alive: timeout=5", lacks=("connection", "keep-alive")
    ),
    doubtful("Proxy-Connection: close", HEAD + b"Proxy-Connection: close\r\n" + TWO, lacks=("proxy-connection",)),
    passed("Proxy-Connection: keep-alive", b"Proxy-Connection: keep-alive", lacks=("proxy-connection",)),
    passed("Proxy-Authenticate", b"Proxy-Authenticate: Basic", lacks=("proxy-authenticate",)),
    passed("Upgrade that is only offered", b"Connection: upgrade\r\nUpgrade: h2c", lacks=("upgrade", "connection")),
    passed("Upgrade without Connection", b"Upgrade: websocket", lacks=("upgrade",)),
    passed("TE", b"TE: trailers", lacks=("te",)),
    doubtful("Connection: close", HEAD + b"Connection: close\r\n" + TWO, lacks=("connection",)),
    doubtful("Connection: close in upper case", HEAD + b"Connection: X, CLOSE\r\n" + TWO),
    doubtful("Connection: close and keep-alive", HEAD + b"Connection: keep-alive, close\r\n" + TWO),
    doubtful("Connection: keep-alive, then close", HEAD + b"Connection: keep-alive\r\nConnection: close\r\n" + TWO),
    doubtful("HTTP/1.0", b"HTTP/1.0 200 OK\r\n" + TWO),
    doubtful("HTTP/1.0, Connection: close", b"HTTP/1.0 200 OK\r\nConnection: close\r\n" + TWO),
    good("HTTP/1.0 that keeps alive", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + TWO),
]

ROWS = [*START_LINES, *LINES, *CONNECTION]
