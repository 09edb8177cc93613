"""Chunk sizes, chunk extensions, the ends of chunks, and trailers."""

from tests.trips.raw_exchanges.exchange import Exchange, Seen, cut, passes

POST = b"POST /open/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
SMUGGLED = b"GET /api/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
END = b"0\r\n\r\n"
HELLO = Seen("POST", body=b"hello")


def size(name: str, line: bytes) -> Exchange:
    """A size that some server reads as 5."""
    return cut(name, POST + line + b"\r\nhello\r\n" + END + SMUGGLED)


SIZES = [
    size("0x5", b"0x5"),
    size("\\x05", b"\x05"),
    size("+5", b"+5"),
    size("-5", b"-5"),
    size("-0", b"-0"),
    size("5.", b"5."),
    size("5,", b"5,"),
    size("5_", b"5_"),
    size("5h", b"5h"),
    size("quoted", b'"5"'),
    size("a space before", b" 5"),
    size("a tab before", b"\t5"),
    size("a space behind", b"5 "),
    size("a tab behind", b"5\t"),
    size("a vertical tab behind", b"5\x0b"),
    size("a NUL behind", b"5\x00"),
    size("a space inside", b"0 5"),
    size("two sizes", b"5 5"),
    size("empty", b""),
    size("letters", b"five"),
    size("Arabic digits", b"\xd9\xa5"),
    size("2^64 + 5", b"10000000000000005"),
    size("17 digits", b"fffffffffffffffff"),
    size("a bare LF behind", b"5\nhello\n0\n\n"),
    size("a bare CR behind", b"5\rhello\r\n0\r\n"),
    size("CR CR LF", b"5\r"),
    cut("a bare LF", POST + b"5\nhello\r\n" + END + SMUGGLED),
    cut("LF everywhere", POST + b"5\nhello\n0\n\n" + SMUGGLED),
    cut("a bare LF before the size", POST + b"\n5\r\nhello\r\n" + END + SMUGGLED),
    cut("empty lines before the size", POST + b"\r\n5\r\nhello\r\n" + END + SMUGGLED),
    cut("empty lines between chunks", POST + b"5\r\nhello\r\n\r\n5\r\nhello\r\n" + END + SMUGGLED),
    Exchange("2^64 - 1", POST + b"ffffffffffffffff\r\nhello\r\n", (), ends=True, begins=True, finishes=True),
    passes("leading zeros", POST + b"0005\r\nhello\r\n" + END, HELLO),
    passes("sixteen digits", POST + b"0000000000000005\r\nhello\r\n" + END, HELLO),
    passes("upper case", POST + b"1A\r\n" + b"a" * 26 + b"\r\n" + END, Seen("POST", body=b"a" * 26)),
    passes("many zeros at the end", POST + b"5\r\nhello\r\n00000\r\n\r\n", HELLO),
    passes("only the end", POST + END, Seen("POST")),
    passes("single bytes", POST + b"".join(b"1\r\n%c\r\n" % c for c in b"hello") + END, HELLO),
]


def end(name: str, rest: bytes) -> Exchange:
    """After a chunk of 5."""
    return cut(name, POST + b"5\r\n" + rest + SMUGGLED)


ENDS = [
    end("no CRLF after the chunk", b"hello" + END),
    end("a bare LF after the chunk", b"hello\n" + END),
    end("a bare CR after the chunk", b"hello\r" + END),
    end("CR CR LF after the chunk", b"hello\r\r\n" + END),
    end("two bytes in place of the CRLF", b"helloXX" + END),
    end("two bytes in place of the CRLF, that look like a size", b"hello10" + END),
    end("LF CR after the chunk", b"hello\n\r" + END),
    end("a space before the CRLF", b"hello \r\n" + END),
    end("one byte too many", b"hello!\r\n" + END),
    end("two bytes too many", b"hello!!\r\n" + END),
    end("one byte too few", b"hell\r\n" + END),
    end("two bytes too few", b"hel\r\n" + END),
    end("LF LF at the end", b"hello\r\n0\n\n"),
    end("CRLF LF at the end", b"hello\r\n0\r\n\n"),
    end("LF CRLF at the end", b"hello\r\n0\n\r\n"),
    end("CR CR at the end", b"hello\r\n0\r\r"),
    end("CRLF CR at the end", b"hello\r\n0\r\n\rX"),
    end("-0 at the end", b"hello\r\n-0\r\n\r\n"),
    end("0x0 at the end", b"hello\r\n0x0\r\n\r\n"),
    end("a space behind the last size", b"hello\r\n0 \r\n\r\n"),
    end("two bytes in place of the last CRLF", b"hello\r\n0\r\nXX"),
]


def extension(name: str, text: bytes) -> Exchange:
    return cut(name, POST + b"5" + text + b"\r\nhello\r\n" + END + SMUGGLED)


EXTENSIONS = [
    extension("a bare LF in an extension", b";a\n"),
    extension("a bare LF and another size", b";a\nhello\r\n0"),
    extension("a bare LF in a quoted value", b';a="\n"'),
    extension("a bare CR in an extension", b";a\rb"),
    extension("a bare CR in a value", b";a=\rb"),
    extension("a bare CR in a quoted value", b';a="\rb"'),
    extension("a CRLF in a quoted value", b';a="\r\n'),
    extension("a NUL in an extension", b";a\x00"),
    extension("a NUL in a value", b";a=\x00"),
    extension("a NUL in a quoted value", b';a="\x00"'),
    extension("a quote that never ends", b';a="b'),
    extension("a space before the semicolon", b" ;a=b"),
    extension("a tab before the semicolon", b"\t;a=b"),
    extension("no semicolon", b"a=b"),
    extension("behind a comma", b",a=b"),
    cut("an extension of 100 kB", POST + b"5;a=" + b"x" * 100_000 + b"\r\nhello\r\n" + END + SMUGGLED, 431),
    cut("20,000 extensions", POST + b"5" + b";a=b" * 20_000 + b"\r\nhello\r\n" + END + SMUGGLED, 431),
    cut("a size with 100,000 zeros", POST + b"0" * 100_000 + b"5\r\nhello\r\n" + END + SMUGGLED, 431),
    passes("a name", POST + b"5;a\r\nhello\r\n" + END, HELLO),
    passes("a value", POST + b"5;a=b\r\nhello\r\n" + END, HELLO),
    passes("a quoted value", POST + b'5;a="b;c"\r\nhello\r\n' + END, HELLO),
    passes("a quoted quote", POST + b'5;a="b\\"c"\r\nhello\r\n' + END, HELLO),
    passes("a value that looks like a chunk", POST + b'5;a="0"\r\nhello\r\n' + END, HELLO),
    passes("an extension of the last chunk", POST + b"5\r\nhello\r\n0;a=b\r\n\r\n", HELLO),
]


def trailer(name: str, lines: bytes) -> Exchange:
    return cut(name, POST + b"5\r\nhello\r\n0\r\n" + lines + b"\r\n" + SMUGGLED)


def dropped(name: str, lines: bytes) -> Exchange:
    return passes(name, POST + b"5\r\nhello\r\n0\r\n" + lines + b"\r\n", HELLO)


TRAILERS = [
    trailer("a trailer of Content-Length", b"Content-Length: 40\r\n"),
    trailer("a trailer of Transfer-Encoding", b"Transfer-Encoding: chunked\r\n"),
    trailer("a trailer of an empty Transfer-Encoding", b"Transfer-Encoding:\r\n"),
    trailer("a trailer with obs-fold", b"A: b\r\n c\r\n"),
    trailer("a trailer with a bare LF", b"A: b\nC: d\r\n"),
    trailer("a trailer with a bare CR", b"A: b\rC: d\r\n"),
    trailer("a trailer with a NUL", b"A: \x00\r\n"),
    trailer("a trailer with a space before the colon", b"A : b\r\n"),
    trailer("a trailer without a colon", b"GET /api/smuggled HTTP/1.1\r\n"),
    trailer("a trailer without a name", b": b\r\n"),
    trailer("trailers that end in LF LF", b"A: b\n\n"),
    dropped("trailers with an identity", b"X-User-Id: admin\r\nx_user_id: admin\r\n"),
    dropped("a trailer of Authorization", b"Authorization: Bearer x\r\n"),
    dropped("a trailer of Host", b"Host: internal\r\n"),
    dropped("a trailer of Cookie", b"Cookie: a=b\r\n"),
    dropped("a trailer of X-Forwarded-For", b"X-Forwarded-For: 127.0.0.1\r\n"),
    dropped("trailers of Connection and Upgrade", b"Connection: upgrade\r\nUpgrade: websocket\r\n"),
    dropped("a trailer of Expect", b"Expect: 100-continue\r\n"),
]

ROWS = [*SIZES, *ENDS, *EXTENSIONS, *TRAILERS]
