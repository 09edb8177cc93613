"""Where an answer ends: lengths, chunks, and the end of the connection."""

from tests.trips.raw_exchanges.exchange import Answering, bad, broken, doubtful, good, harmless

HEAD = b"HTTP/1.1 200 OK\r\n"
LENGTH = HEAD + b"Content-Length: 2\r\n\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
NEXT = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
HEAD_REQUEST = b"HEAD /open/x HTTP/1.1\r\nHost: a\r\n\r\n"
OLD_REQUEST = b"GET /open/x HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"


def framed(name: str, *lines: bytes) -> Answering:
    return bad(name, HEAD + b"".join(line + b"\r\n" for line in lines) + b"\r\n0\r\n\r\n")


FRAMING = [
    framed("CL and TE", b"Content-Length: 5", b"Transfer-Encoding: chunked"),
    framed("TE and CL", b"Transfer-Encoding: chunked", b"Content-Length: 5"),
    framed("TE and CL 0", b"Transfer-Encoding: chunked", b"Content-Length: 0"),
    framed("two CLs that differ", b"Content-Length: 5", b"Content-Length: 0"),
    framed("two CLs that agree", b"Content-Length: 5", b"Content-Length: 5"),
    framed("a list of CLs", b"Content-Length: 5, 5"),
    framed("CL +5", b"Content-Length: +5"),
    framed("CL -5", b"Content-Length: -5"),
    framed("CL 0x5", b"Content-Length: 0x5"),
    framed("CL 5.0", b"Content-Length: 5.0"),
    framed("CL in words", b"Content-Length: five"),
    framed("CL with a space inside", b"Content-Length: 0 5"),
    framed("an empty CL", b"Content-Length:"),
    framed("CL of 2^64 + 5", b"Content-Length: 18446744073709551621"),
    framed("CL of 2^63", b"Content-Length: 9223372036854775808"),
    framed("CL with a space before the colon", b"Content-Length : 5"),
    framed("TE with a space before the colon", b"Transfer-Encoding : chunked"),
    framed("TE folded", b"Transfer-Encoding:\r\n chunked"),
    framed("gzip, chunked", b"Transfer-Encoding: gzip, chunked"),
    framed("chunked, gzip", b"Transfer-Encoding: chunked, gzip"),
    framed("chunked, chunked", b"Transfer-Encoding: chunked, chunked"),
    framed("identity", b"Transfer-Encoding: identity"),
    framed("xchunked", b"Transfer-Encoding: xchunked"),
    framed("an empty TE", b"Transfer-Encoding:"),
    framed("two TEs", b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    framed("chunked after a vertical tab", b"Transfer-Encoding: \x0bchunked"),
    bad("chunked in HTTP/1.0", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    bad(
        "chunked in HTTP/1.0 that keeps alive",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ),
    good("CL with leading zeros", HEAD + b"Content-Length: 0002\r\n\r\nok", has=(("content-length", "2"),)),
    good("chunked in upper case", HEAD + b"TRANSFER-ENCODING: CHUNKED\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    good("Content_Length", HEAD + b"Content_Length: 50\r\nContent-Length: 2\r\n\r\nok"),
]


def chunk(name: str, rest: bytes) -> Answering:
    """After a good one."""
    return broken(name, CHUNKED + b"2\r\nok\r\n" + rest)


CHUNKS = [
    chunk("size zz", b"zz\r\nhello\r\n0\r\n\r\n"),
    chunk("size +5", b"+5\r\nhello\r\n0\r\n\r\n"),
    chunk("size -5", b"-5\r\nhello\r\n0\r\n\r\n"),
    chunk("size 0x5", b"0x5\r\nhello\r\n0\r\n\r\n"),
    chunk("an empty size", b"\r\nhello\r\n0\r\n\r\n"),
    chunk("a size with a space before", b" 5\r\nhello\r\n0\r\n\r\n"),
    chunk("a size with a space behind", b"5 \r\nhello\r\n0\r\n\r\n"),
    chunk("a size of 17 digits", b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
    chunk("a bare LF behind the size", b"5\nhello\r\n0\r\n\r\n"),
    chunk("a bare LF behind the chunk", b"5\r\nhello\n0\r\n\r\n"),
    chunk("no end of the chunk", b"5\r\nhello0\r\n\r\n"),
    chunk("a chunk that is too long", b"5\r\nhello!\r\n0\r\n\r\n"),
    chunk("a chunk that is too short", b"5\r\nhell\r\n0\r\n\r\n"),
    chunk("a bare LF in an extension", b"5;a\nhello\r\n0\r\n\r\n"),
    chunk("a NUL in an extension", b"5;a\x00\r\nhello\r\n0\r\n\r\n"),
    chunk("LF LF at the end", b"0\n\n"),
    chunk("CRLF LF at the end", b"0\r\n\n"),
    chunk("a trailer of Content-Length", b"0\r\nContent-Length: 5\r\n\r\n"),
    chunk("a trailer of Transfer-Encoding", b"0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    chunk("a trailer with a fold", b"0\r\nA: b\r\n c\r\n\r\n"),
    chunk("a trailer without a colon", b"0\r\nnonsense\r\n\r\n"),
    chunk("an answer in place of the last empty line", b"0\r\n" + NEXT),
    good("single bytes", CHUNKED + b"1\r\no\r\n1\r\nk\r\n0\r\n\r\n"),
    good("leading zeros", CHUNKED + b"0002\r\nok\r\n000\r\n\r\n"),
    good("an extension", CHUNKED + b'2;a="b"\r\nok\r\n0;c\r\n\r\n'),
    good("no chunk", CHUNKED + b"0\r\n\r\n", b""),
    good(
        "trailers",
        CHUNKED + b"2\r\nok\r\n0\r\nSet-Cookie: a=b\r\nX-User-Id: admin\r\nAccess-Control-Allow-Origin: *\r\n\r\n",
        lacks=("set-cookie", "x-user-id", "access-control-allow-origin"),
    ),
    good(
        "Trailer",
        HEAD + b"Trailer: X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: 1\r\n\r\n",
        lacks=("trailer", "x"),
    ),
]

TEN = HEAD + b"Content-Length: 10\r\n\r\n"
CUTS = [
    broken(f"{name}, {ending}", says, ending=ending)
    for ending in ("fin", "rst")
    for name, says in {
        "no byte of a length": TEN,
        "half of a length": TEN + b"half",
        "one byte short of a length": TEN + b"123456789",
        "no chunk": CHUNKED,
        "half a chunk size": CHUNKED + b"1",
        "half a chunk": CHUNKED + b"5\r\nhe",
        "half an end of a chunk": CHUNKED + b"5\r\nhello\r",
        "no last chunk": CHUNKED + b"5\r\nhello\r\n",
        "half a last chunk": CHUNKED + b"5\r\nhello\r\n0\r\n",
        "half the end": CHUNKED + b"5\r\nhello\r\n0\r\n\r",
        "half a trailer": CHUNKED + b"5\r\nhello\r\n0\r\nA: b\r\n",
    }.items()
]
TO_THE_END = [
    doubtful("to the end, with FIN", HEAD + b"\r\nok", ending="fin", has=(("transfer-encoding", "chunked"),)),
    broken("to the end, with RST", HEAD + b"\r\nok", ending="rst"),
    doubtful("to the end, nothing", HEAD + b"\r\n", b"", ending="fin"),
    doubtful("to the end, with keep-alive", HEAD + b"Connection: keep-alive\r\n\r\nok", ending="fin"),
    doubtful("to the end, in HTTP/1.0", b"HTTP/1.0 200 OK\r\n\r\nok", ending="fin"),
    doubtful("to the end, that looks like an answer", HEAD + b"\r\n" + NEXT, NEXT, ending="fin"),
]

NO_BODY = [
    good("204", b"HTTP/1.1 204 No Content\r\n\r\n", b"", 204),
    good("304", b"HTTP/1.1 304 Not Modified\r\n\r\n", b"", 304),
    good("204 with CL 0", b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", b"", 204, lacks=("content-length",)),
    good("204 with CL", b"HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\n", b"", 204, lacks=("content-length",)),
    good("204 with TE", b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", b"", 204),
    good(
        "304 with CL",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\n",
        b"",
        304,
        has=(("content-length", "6"),),
    ),
    good("304 with TE", b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", b"", 304),
    doubtful("204 with a body", b"HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\npoison", b"", 204),
    doubtful("204 with an answer as its body", b"HTTP/1.1 204 No Content\r\n\r\n" + NEXT, b"", 204),
    doubtful(
        "204 with chunks",
        b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n6\r\npoison\r\n0\r\n\r\n",
        b"",
        204,
    ),
    doubtful("304 with a body", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\npoison", b"", 304),
    doubtful(
        "304 with chunks",
        b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n6\r\npoison\r\n0\r\n\r\n",
        b"",
        304,
    ),
    good("205 with CL 0", b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", b"", 205),
    good("HEAD", LENGTH, b"", asks=HEAD_REQUEST, methods=("HEAD",), has=(("content-length", "2"),)),
    good("HEAD with TE", CHUNKED, b"", asks=HEAD_REQUEST, methods=("HEAD",)),
    good("HEAD without framing", HEAD + b"\r\n", b"", asks=HEAD_REQUEST, methods=("HEAD",)),
    doubtful("HEAD with a body", LENGTH + b"ok", b"", asks=HEAD_REQUEST, methods=("HEAD",)),
    doubtful("HEAD with chunks", CHUNKED + b"2\r\nok\r\n0\r\n\r\n", b"", asks=HEAD_REQUEST, methods=("HEAD",)),
    doubtful("HEAD with an answer as its body", LENGTH + NEXT, b"", asks=HEAD_REQUEST, methods=("HEAD",)),
    bad(
        "HEAD with CL and TE",
        HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        asks=HEAD_REQUEST,
        methods=("HEAD",),
    ),
]
EXTRA = [
    doubtful("a byte too many after CL", LENGTH + b"ok!"),
    doubtful("a NUL after CL", LENGTH + b"ok\x00"),
    doubtful("half a status line after CL", LENGTH + b"okH"),
    harmless("an empty line after CL", LENGTH + b"ok\r\n"),
    harmless("a line feed after CL", LENGTH + b"ok\n"),
    doubtful("a byte after CL 0", HEAD + b"Content-Length: 0\r\n\r\nx", b""),
    doubtful("a byte after the last chunk", CHUNKED + b"2\r\nok\r\n0\r\n\r\nx"),
    harmless("an empty line after the last chunk", CHUNKED + b"2\r\nok\r\n0\r\n\r\n\r\n"),
    doubtful("a last chunk too many", CHUNKED + b"2\r\nok\r\n0\r\n\r\n0\r\n\r\n"),
]

ROWS = [*FRAMING, *CHUNKS, *CUTS, *TO_THE_END, *NO_BODY, *EXTRA]
