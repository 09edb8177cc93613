"""Host: how often, what it may hold, and what the target may say instead."""

from tests.trips.raw_exchanges.exchange import Exchange, Seen, ends, passes, refused

X = Seen()


def host(name: str, value: bytes) -> Exchange:
    return refused(name, b"GET /open/x HTTP/1.1\r\nHost:" + value + b"\r\n\r\n")


def lines(name: str, *headers: bytes) -> Exchange:
    return refused(name, b"GET /open/x HTTP/1.1\r\n" + b"".join(each + b"\r\n" for each in headers) + b"\r\n")


def named(name: str, value: bytes, host: str) -> Exchange:
    return passes(name, b"GET /open/x HTTP/1.1\r\nHost:" + value + b"\r\n\r\n", Seen(host=host))


def absolute(name: str, target: bytes, value: bytes = b"a") -> Exchange:
    return refused(name, b"GET " + target + b" HTTP/1.1\r\nHost: " + value + b"\r\n\r\n")


def unreadable(name: str, target: bytes) -> Exchange:
    return ends(name, b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")


def agreeing(name: str, target: bytes, value: bytes = b"a", host: str = "a") -> Exchange:
    return passes(name, b"GET " + target + b" HTTP/1.1\r\nHost: " + value + b"\r\n\r\n", Seen(host=host))


HOSTS = [
    lines("none"),
    lines("two that differ", b"Host: a", b"Host: b"),
    lines("two that agree", b"Host: a", b"Host: a"),
    lines("two in different case", b"Host: a", b"hOST: b"),
    lines("two, one of them empty", b"Host: a", b"Host:"),
    lines("two, far apart", b"Host: a", *(b"X-%d: 1" % n for n in range(50)), b"Host: b"),
    refused("two in HTTP/1.0", b"GET /open/x HTTP/1.0\r\nConnection: keep-alive\r\nHost: a\r\nHost: b\r\n\r\n"),
    host("empty", b""),
    host("a space only", b" "),
    host("a list", b" a, b"),
    host("two words", b" a b"),
    host("a path", b" a/b"),
    host("a slash", b" a/"),
    host("a backslash", b" a\\b"),
    host("a query", b" a?b"),
    host("a fragment", b" a#b"),
    host("a user", b" user@a"),
    host("a user and a password", b" user:pw@a"),
    host("a percent-encoded dot", b" a%2eb"),
    host("a percent-encoded zone", b" [fe80::1%25lo]"),
    host("a URL", b" http://a"),
    host("a dot", b" ."),
    host("a dot first", b" .a"),
    host("two dots", b" a..b"),
    host("two dots behind", b" a.."),
    host("a port only", b" :80"),
    host("a colon without a port", b" a:"),
    host("port 0", b" a:0"),
    host("port 65536", b" a:65536"),
    host("a long port", b" a:000080"),
    host("a signed port", b" a:+80"),
    host("a port in letters", b" a:http"),
    host("two ports", b" a:80:80"),
    host("brackets around nothing", b" []"),
    host("brackets around a name", b" [a]"),
    host("a bracket that does not close", b" [::1"),
    host("IPv6 without brackets", b" ::1"),
    host("8-bit characters", b" b\xfccher.example"),
    host("UTF-8", b" b\xc3\xbccher.example"),
    host("a semicolon", b" a;b"),
    host("an asterisk", b" *"),
    host("quotes", b' "a"'),
    host("a tab inside", b" a\tb"),
    host("254 characters", b" " + b".".join([b"a" * 49] * 5 + [b"a" * 4])),
    named("upper case", b" A.EXAMPLE", "a.example"),
    named("a dot behind", b" a.example.", "a.example"),
    named("a dot behind, and a port", b" a.example.:8080", "a.example:8080"),
    named("a port with a zero first", b" a:080", "a:80"),
    named("tabs and spaces around", b" \t a \t ", "a"),
    named("IPv6 in another spelling", b" [0:0::01]:80", "[::1]:80"),
    passes(
        "none in HTTP/1.0",
        b"GET /open/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        Seen(host="upstream"),
    ),
]
TARGETS = [
    absolute("absolute-form of another host", b"http://b/open/x"),
    absolute("absolute-form of another port", b"http://a:81/open/x", b"a:80"),
    absolute("absolute-form with a port that Host does not have", b"http://a:80/open/x"),
    absolute("absolute-form without the port of Host", b"http://a/open/x", b"a:80"),
    absolute("absolute-form with a user", b"http://u@a/open/x"),
    absolute("absolute-form with a user and a password", b"http://u:p@a/open/x"),
    absolute("absolute-form with an empty user", b"http://@a/open/x"),
    absolute("absolute-form with a user that looks like the host", b"http://a:80@b/open/x"),
    unreadable("absolute-form with a backslash", b"http://a\\@b/open/x"),
    absolute("absolute-form without a host", b"http:///open/x"),
    unreadable("absolute-form with one slash", b"http:/a/open/x"),
    absolute("absolute-form of ftp", b"ftp://a/open/x"),
    absolute("absolute-form of ws", b"ws://a/open/x"),
    absolute("absolute-form of file", b"file:///open/x"),
    absolute("absolute-form with a fragment", b"http://a/open/x#y"),
    absolute("absolute-form with an encoded host", b"http://%61/open/x"),
    absolute("absolute-form with a dot segment", b"http://a/open/../api/x"),
    absolute("absolute-form with an empty segment", b"http://a//open/x"),
    refused("absolute-form without Host", b"GET http://a/open/x HTTP/1.1\r\n\r\n"),
    refused(
        "absolute-form without Host in HTTP/1.0", b"GET http://a/open/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    ),
    refused("absolute-form with an empty Host", b"GET http://a/open/x HTTP/1.1\r\nHost:\r\n\r\n"),
    agreeing("absolute-form of the same host", b"http://a/open/x"),
    agreeing("absolute-form in another case", b"HTTP://A/open/x"),
    agreeing("absolute-form with a dot behind", b"http://a./open/x"),
    agreeing("absolute-form of https", b"https://a/open/x"),
    agreeing("absolute-form of the same port", b"http://a:80/open/x", b"a:80", "a:80"),
]

ROWS = [*HOSTS, *TARGETS]
