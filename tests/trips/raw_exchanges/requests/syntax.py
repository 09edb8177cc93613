"""Header lines: ends of lines, folds, colons, names and values."""

from tests.trips.raw_exchanges.exchange import Exchange, Seen, ends, passes

GET = b"GET /open/x HTTP/1.1\r\nHost: a\r\n"


def line(name: str, text: bytes) -> Exchange:
    return ends(name, GET + text + b"\r\n\r\n")


def kept(name: str, text: bytes, *headers: tuple[str, str]) -> Exchange:
    return passes(name, GET + text + b"\r\n\r\n", Seen(headers=headers))


LINES = [
    line("a fold", b"X-A: 1\r\n 2"),
    line("a fold with a tab", b"X-A: 1\r\n\t2"),
    line("a fold that looks like a header", b"X-A: 1\r\n X-User-Id: admin"),
    line("a fold of spaces only", b"X-A: 1\r\n  "),
    line("a fold after an empty value", b"X-A:\r\n 1"),
    line("a fold at the end of the head", b"X-A: 1\r\n "),
    ends("a fold of the first line", b"GET /open/x HTTP/1.1\r\n Host: a\r\n\r\n"),
    ends("a fold of the first line with a tab", b"GET /open/x HTTP/1.1\r\n\tHost: a\r\n\r\n"),
    ends("a fold of Host", b"GET /open/x HTTP/1.1\r\nHost: a\r\n b\r\n\r\n"),
    line("a bare LF between headers", b"X-A: 1\nX-B: 2"),
    line("a bare CR between headers", b"X-A: 1\rX-B: 2"),
    line("LF CR between headers", b"X-A: 1\n\rX-B: 2"),
    line("CR CR LF after a header", b"X-A: 1\r"),
    line("a bare LF in a name", b"X\nA: 1"),
    line("a bare CR in a name", b"X\rA: 1"),
    line("a bare CR after the colon", b"X-A:\r1"),
    line("a bare CR at the end of a value", b"X-A: 1\r\rX-B: 2"),
    ends("LF LF at the end", GET + b"X-A: 1\n\n"),
    ends("CRLF LF at the end", GET + b"X-A: 1\r\n\n"),
    ends("CRLF CR at the end", GET + b"X-A: 1\r\n\rX"),
    ends("CR CR at the end", GET + b"X-A: 1\r\r"),
    ends("LF everywhere", b"GET /open/x HTTP/1.1\nHost: a\n\n"),
    ends("CR everywhere", b"GET /open/x HTTP/1.1\rHost: a\r\r"),
    ends("a request behind LF LF", GET + b"X-A: 1\n\nGET /api/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"),
]
COLONS = [
    line("a space before the colon", b"X-A : 1"),
    line("a tab before the colon", b"X-A\t: 1"),
    line("a space before the colon of an identity", b"X-User-Id : admin"),
    line("a space before the colon of a token", b"Authorization : Bearer x"),
    line("a space before the name", b" X-A: 1"),
    line("no colon", b"nonsense"),
    line("no colon, with an equals sign", b"X-A=1"),
    line("no name", b": 1"),
    line("a colon only", b":"),
    line("a space in a name", b"X A: 1"),
    line("a request line as a header", b"GET /api/smuggled HTTP/1.1"),
]
NAMES = [
    line(f"{chr(char)!r} in a name", b"X%cA: 1" % char)
    for char in b'\x00\x01\x08\x0b\x0c\x1b\x7f"(),/;<=>?@[\\]{}\x80\xa0\xff'
]
NAMES += [
    line("UTF-8 in a name", b"X-\xc3\xa9: 1"),
    line("a soft hyphen in a name", b"X\xc2\xadUser-Id: admin"),
    line("a Kelvin sign in a name", b"X-\xe2\x84\xaa: 1"),
    kept("every sign that a name may have", b"X!#$%&'*+-.^_`|~09az: 1", ("x!#$%&'*+-.^_`|~09az", "1")),
    kept("a long name", b"X" * 1000 + b": 1", ("x" * 1000, "1")),
]
VALUES = [
    line(f"{chr(char)!r} in a value", b"X-A: 1%c2" % char) for char in b"\x00\x01\x02\x07\x08\x0b\x0c\x1b\x1f\x7f"
]
VALUES += [
    line("a NUL at the end of a value", b"X-A: 1\x00"),
    line("a NUL before a value", b"X-A:\x001"),
    kept("a tab in a value", b"X-A: 1\t2", ("x-a", "1\t2")),
    kept("8-bit characters in a value", b"X-A: \xc3\xa9\xff", ("x-a", "\xc3\xa9\xff")),
    kept("spaces and tabs before a value", b"X-A: \t 1", ("x-a", "1")),
    kept("white space behind a value, which means nothing", b"X-A: 1 \t", ("x-a", "1")),
    kept("an empty value", b"X-A:", ("x-a", "")),
    kept("a value of spaces only", b"X-A:  \t ", ("x-a", "")),
    kept("colons in a value", b"X-A::1:", ("x-a", ":1:")),
    kept("an encoded CRLF in a value", b"X-A: 1%0d%0aX-B: 2", ("x-a", "1%0d%0aX-B: 2")),
    kept("a header twice", b"X-A: 1\r\nX-A: 2", ("x-a", "1"), ("x-a", "2")),
    kept(
        "signs that others take for ends of lines",
        b"X-A: 1\xe2\x80\xa8X-B: 2\xc2\x85",
        ("x-a", "1\xe2\x80\xa8X-B: 2\xc2\x85"),
    ),
]
SIZES = [
    ends("101 headers", GET + b"".join(b"X-%d: 1\r\n" % n for n in range(101)) + b"\r\n", 431),
    ends("10,000 headers", GET + b"A: 1\r\n" * 10_000 + b"\r\n", 431),
    ends("a huge value", GET + b"X-A: " + b"a" * 40_000 + b"\r\n\r\n", 431),
    ends("a huge name", GET + b"A" * 40_000 + b": 1\r\n\r\n", 431),
    ends("many spaces", GET + b"X-A: " + b" " * 100_000 + b"1\r\n\r\n", 431),
]

ROWS = [*LINES, *COLONS, *NAMES, *VALUES, *SIZES]
