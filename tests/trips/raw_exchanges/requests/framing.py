"""Where a body ends: Content-Length and Transfer-Encoding, alone, together and disguised."""

from tests.trips.raw_exchanges.exchange import Exchange, Seen, ends, passes

POST = b"POST /open/x HTTP/1.1\r\nHost: a\r\n"
OLD = b"POST /open/x HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n"
SMUGGLED = b"GET /api/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
NO_CHUNK = b"0\r\n\r\n"
HELLO = Seen("POST", body=b"hello")
CHUNKED_HELLO = b"5\r\nhello\r\n0\r\n\r\n"
EMPTY = Seen("POST")


def head(*lines: bytes, start: bytes = POST) -> bytes:
    return start + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def both(name: str, *lines: bytes) -> Exchange:
    """CL.TE: who goes by the length takes SMUGGLED for the body, who goes by the chunks for a request."""
    return ends(name, head(*lines) + NO_CHUNK + SMUGGLED)


LENGTH = b"Content-Length: %d" % len(NO_CHUNK + SMUGGLED)
TOGETHER = [
    both("CL, then TE", LENGTH, b"Transfer-Encoding: chunked"),
    both("TE, then CL", b"Transfer-Encoding: chunked", LENGTH),
    both("CL 0, then TE", b"Content-Length: 0", b"Transfer-Encoding: chunked"),
    both("TE, then CL 0", b"Transfer-Encoding: chunked", b"Content-Length: 0"),
    both("CL, TE in upper case", LENGTH, b"TRANSFER-ENCODING: CHUNKED"),
    both("CL, TE in mixed case", b"content-LENGTH: 5", b"tRANSFER-eNCODING: cHUNKED"),
    both("CL, then TE with a space before the colon", LENGTH, b"Transfer-Encoding : chunked"),
    both("TE with a space before the colon, then CL", b"Transfer-Encoding : chunked", LENGTH),
    both("CL, then TE with a tab before the colon", LENGTH, b"Transfer-Encoding\t: chunked"),
    both("CL, then TE after a tab", LENGTH, b"Transfer-Encoding:\tchunked"),
    both("CL, then TE without a space", LENGTH, b"Transfer-Encoding:chunked"),
    both("CL, then TE with a tab behind", LENGTH, b"Transfer-Encoding: chunked\t"),
    both("CL, then TE after a vertical tab", LENGTH, b"Transfer-Encoding: \x0bchunked"),
    both("CL, then TE before a vertical tab", LENGTH, b"Transfer-Encoding: chunked\x0b"),
    both("CL, then TE after a form feed", LENGTH, b"Transfer-Encoding: \x0cchunked"),
    both("CL, then TE after a no-break space", LENGTH, b"Transfer-Encoding: \xa0chunked"),
    both("CL, then TE after a backspace", LENGTH, b"Transfer-Encoding: \x08chunked"),
    both("CL, then xchunked", LENGTH, b"Transfer-Encoding: xchunked"),
    both("CL, then chunkedx", LENGTH, b"Transfer-Encoding: chunkedx"),
    both("CL, then chunk", LENGTH, b"Transfer-Encoding: chunk"),
    both("CL, then identity", LENGTH, b"Transfer-Encoding: identity"),
    both("CL, then chunked, identity", LENGTH, b"Transfer-Encoding: chunked, identity"),
    both("CL, then identity, chunked", LENGTH, b"Transfer-Encoding: identity, chunked"),
    both("CL, then an empty TE", LENGTH, b"Transfer-Encoding:"),
    both("an empty TE, then CL", b"Transfer-Encoding:", LENGTH),
    both("CL, then TE of commas", LENGTH, b"Transfer-Encoding: , ,"),
    both("CL, then quoted TE", LENGTH, b'Transfer-Encoding: "chunked"'),
    both("CL, then TE in single quotes", LENGTH, b"Transfer-Encoding: 'chunked'"),
    both("CL, then TE with a parameter", LENGTH, b"Transfer-Encoding: chunked;q=1"),
    both("CL, then TE folded", LENGTH, b"Transfer-Encoding:\r\n chunked"),
    both("CL, then TE folded with a tab", LENGTH, b"Transfer-Encoding:\r\n\tchunked"),
    both("CL, then TE behind a bare LF", LENGTH, b"X: 1\nTransfer-Encoding: chunked"),
    both("CL, then TE behind a bare CR", LENGTH, b"X: 1\rTransfer-Encoding: chunked"),
    both("CL, then TE with a NUL in its name", LENGTH, b"Transfer-Encoding\x00: chunked"),
    both("CL, then TE with a NUL behind", LENGTH, b"Transfer-Encoding: chunked\x00"),
    both("CL, then two TEs", LENGTH, b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"),
    both("CL between two TEs", b"Transfer-Encoding: identity", LENGTH, b"Transfer-Encoding: chunked"),
    both("CL, then TE behind an indented line", LENGTH, b" Transfer-Encoding: chunked"),
]

# Some servers take these for Transfer-Encoding or Content-Length: they do not pass, and the rest is unambiguous.
LOOKALIKES = [
    passes("CL and Transfer_Encoding", head(b"Content-Length: 5", b"Transfer_Encoding: chunked") + b"hello", HELLO),
    passes("CL and Transfer.Encoding", head(b"Content-Length: 5", b"Transfer.Encoding: chunked") + b"hello", HELLO),
    passes("CL and TRANSFER_ENCODING", head(b"Content-Length: 5", b"TRANSFER_ENCODING: chunked") + b"hello", HELLO),
    passes("TE and Content_Length", head(b"Transfer-Encoding: chunked", b"Content_Length: 50") + CHUNKED_HELLO, HELLO),
    passes("TE and Content.Length", head(b"Content.Length: 50", b"Transfer-Encoding: chunked") + CHUNKED_HELLO, HELLO),
    passes("Content-Length_", head(b"Content-Length_: 5"), Seen("POST", headers=(("content-length_", "5"),))),
    passes("Content_Length alone", head(b"Content_Length: 50"), EMPTY),
    passes("Transfer_Encoding alone", head(b"Transfer_Encoding: chunked"), EMPTY),
    passes("TE, the header of that name", head(b"TE: chunked, trailers", b"Content-Length: 5") + b"hello", HELLO),
]


def alone(name: str, value: bytes, status: int = 400) -> Exchange:
    return ends(name, head(b"Transfer-Encoding:" + value) + NO_CHUNK + SMUGGLED, status)


ENCODINGS = [
    alone("chunked twice in a list", b" chunked, chunked"),
    alone("chunked, identity", b" chunked, identity"),
    alone("identity, chunked", b" identity, chunked", 501),
    alone("chunked, gzip", b" chunked, gzip"),
    alone("gzip, chunked", b" gzip, chunked", 501),
    alone("identity", b" identity", 501),
    alone("xchunked", b" xchunked", 501),
    alone("chunkedx", b" chunkedx", 501),
    alone("in quotes", b' "chunked"', 501),
    alone("with a parameter", b" chunked;a=b", 501),
    alone("with a comma behind", b" chunked,"),
    alone("with a comma before", b" ,chunked", 501),
    alone("empty TE", b""),
    alone("TE after a vertical tab", b" \x0bchunked"),
    alone("TE after a no-break space", b" \xa0chunked", 501),
    alone("TE folded", b"\r\n chunked"),
    alone("in two lines", b" chunked\r\nTransfer-Encoding: chunked"),
    alone("in two lines, one of them empty", b"\r\nTransfer-Encoding: chunked"),
    alone("in two lines that differ", b" identity\r\nTransfer-Encoding: chunked", 501),
    alone("in two lines, gzip first", b" gzip\r\nTransfer-Encoding: chunked", 501),
    ends("chunked in HTTP/1.0", head(b"Transfer-Encoding: chunked", start=OLD) + NO_CHUNK + SMUGGLED),
    ends("both in HTTP/1.0", head(LENGTH, b"Transfer-Encoding: chunked", start=OLD) + NO_CHUNK + SMUGGLED),
    passes("chunked in upper case", head(b"TRANSFER-ENCODING: CHUNKED") + CHUNKED_HELLO, HELLO),
    ends("a tab behind", head(b"Transfer-Encoding: chunked\t") + NO_CHUNK + SMUGGLED),
    passes("chunked after tabs and spaces", head(b"Transfer-Encoding: \t chunked") + CHUNKED_HELLO, HELLO),
    passes("chunked without a space", head(b"Transfer-Encoding:chunked") + CHUNKED_HELLO, HELLO),
]


def length(name: str, value: bytes) -> Exchange:
    return ends(name, head(b"Content-Length:" + value) + b"hello" + SMUGGLED)


LENGTHS = [
    length("+5", b" +5"),
    length("-5", b" -5"),
    length("-0", b" -0"),
    length("0x5", b" 0x5"),
    length("5.0", b" 5.0"),
    length("5e0", b" 5e0"),
    length("5,5", b" 5,5"),
    length("5, 5", b" 5, 5"),
    length("5, 6", b" 5, 6"),
    length("5,", b" 5,"),
    length(",5", b" ,5"),
    length("5;5", b" 5;5"),
    length("1 0", b" 1 0"),
    length("1_0", b" 1_0"),
    length("quoted", b' "5"'),
    length("empty", b""),
    length("spaces only", b"   "),
    length("letters", b" five"),
    length("a letter behind", b" 5a"),
    length("a vertical tab before", b" \x0b5"),
    length("a NUL behind", b" 5\x00"),
    length("a no-break space before", b" \xa05"),
    length("Arabic digits", b" \xd9\xa5"),
    length("superscript", b" \xc2\xb2"),
    length("2^64 + 5", b" 18446744073709551621"),
    length("2^64", b" 18446744073709551616"),
    length("forty digits", b" " + b"9" * 40),
    length("a line of zeros and 2^64 + 5", b" " + b"0" * 100 + b"18446744073709551621"),
    length("folded", b"\r\n 5"),
    length("folded after a digit", b" 5\r\n 0"),
    length("two that agree", b" 5\r\nContent-Length: 5"),
    length("two that differ", b" 5\r\nContent-Length: 0"),
    length("two, one of them empty", b" 5\r\nContent-Length:"),
    length("two in different case", b" 5\r\ncontent-length: 5"),
    length("three", b" 5\r\nContent-Length: 5\r\nContent-Length: 5"),
    passes("leading zeros", head(b"Content-Length: 0005") + b"hello", HELLO),
    passes("a hundred leading zeros", head(b"Content-Length: " + b"0" * 100 + b"5") + b"hello", HELLO),
    passes("many zeros and nothing else", head(b"Content-Length: 0000"), EMPTY),
    passes("spaces and tabs around", head(b"Content-Length: \t 5 \t ") + b"hello", HELLO),
    passes("no space", head(b"Content-Length:5") + b"hello", HELLO),
    Exchange("shorter than said", head(b"Content-Length: 5000"), (), ends=True, begins=True, finishes=True),
    Exchange("2^63", head(b"Content-Length: 9223372036854775808") + b"hello", (400,), ends=True),
]


def bodies(method: str) -> list[Exchange]:
    """RFC 9110 §9.3.1: a body on these means nothing, and is framed all the same."""
    start = f"{method} /open/x HTTP/1.1\r\nHost: a\r\n".encode()
    seen = Seen(method, body=b"hello")
    methods = (method,)
    return [
        Exchange(
            f"{method} with a length",
            head(b"Content-Length: 5", start=start) + b"hello",
            (200,),
            (seen,),
            methods=methods,
        ),
        Exchange(
            f"{method} with chunks",
            head(b"Transfer-Encoding: chunked", start=start) + CHUNKED_HELLO,
            (200,),
            (seen,),
            methods=methods,
        ),
        Exchange(
            f"{method} with length 0", head(b"Content-Length: 0", start=start), (200,), (Seen(method),), methods=methods
        ),
        Exchange(
            f"{method} that brings a request as its body",
            head(b"Content-Length: %d" % len(SMUGGLED), start=start) + SMUGGLED,
            (200,),
            (Seen(method, body=SMUGGLED),),
            methods=methods,
        ),
    ]


BODIES = [row for method in ("GET", "HEAD", "DELETE", "OPTIONS") for row in bodies(method)]

ROWS = [*TOGETHER, *LOOKALIKES, *ENCODINGS, *LENGTHS, *BODIES]
