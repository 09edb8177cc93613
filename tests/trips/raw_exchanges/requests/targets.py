"""Targets: what no two servers read alike is refused alone, and what is left has one spelling."""

from tests.trips.raw_exchanges.exchange import Exchange, Seen, ends, passes, refused

REST = b" HTTP/1.1\r\nHost: a\r\n\r\n"


def target(name: str, text: bytes) -> Exchange:
    return refused(name, b"GET " + text + REST)


def broken(name: str, text: bytes, status: int = 400) -> Exchange:
    return ends(name, b"GET " + text + REST, status)


def spelled(name: str, text: bytes, canonical: str) -> Exchange:
    return passes(name, b"GET " + text + REST, Seen(target=canonical))


ROWS = [
    target("..", b"/open/../api/x"),
    target(".. at the end", b"/open/.."),
    target(".", b"/open/./x"),
    target(". at the end", b"/open/."),
    target("%2e%2e", b"/open/%2e%2e/api/x"),
    target("%2E.", b"/open/%2E./api/x"),
    target(".%2e", b"/open/.%2e/api/x"),
    target("..%2f", b"/open/..%2fapi/x"),
    target("..%5c", b"/open/..%5Capi/x"),
    target("..\\", b"/open/..\\api/x"),
    target("\\", b"/open\\x"),
    target("%2f", b"/open/a%2fb"),
    target("%5c", b"/open/a%5cb"),
    target("//", b"/open//x"),
    target("// first", b"//open/x"),
    target("// last", b"/open/x//"),
    target("// and a host", b"//b/open/x"),
    target("..;", b"/open/..;/api/x"),
    target(";", b"/open/x;a=b"),
    target("%3b", b"/open/..%3b/api/x"),
    target("double encoding", b"/open/%252e%252e/api/x"),
    target("double encoding of a slash", b"/open/..%252fapi/x"),
    target("double encoding in pieces", b"/open/%25%32%65%25%32%65/api/x"),
    target("triple encoding", b"/open/%25252e/x"),
    target("%", b"/open/%"),
    target("%2", b"/open/%2"),
    target("%zz", b"/open/%zz"),
    target("%u002e", b"/open/%u002e%u002e/api/x"),
    target("%00", b"/open/x%00.css"),
    target("%0d%0a", b"/open/x%0d%0aX-User-Id:admin"),
    target("%0a", b"/open/x%0a"),
    target("%7f", b"/open/%7f"),
    target("%09", b"/open/%09"),
    target("overlong dots", b"/open/%c0%ae%c0%ae/api/x"),
    target("an overlong slash", b"/open/..%c0%afapi/x"),
    target("an overlong slash in three bytes", b"/open/..%e0%80%afapi/x"),
    target("an overlong NUL", b"/open/%c0%80"),
    target("half a character", b"/open/%c3"),
    target("a surrogate", b"/open/%ed%a0%80"),
    target("Latin-1", b"/open/%e9"),
    target("beyond Unicode", b"/open/%f4%90%80%80"),
    target("#", b"/open/x#y"),
    target("# first", b"/#/open/x"),
    target("#?", b"/api/x#?/open/x"),
    target("# in the query", b"/open/x?a#b"),
    target("*", b"*"),
    target("OPTIONS-like * with a path", b"*/open/x"),
    broken("a name", b"open/x"),
    broken("authority-form", b"a:443"),
    broken("a question mark only", b"?a"),
    broken("8-bit characters", b"/open/\xe9"),
    broken("UTF-8", b"/open/\xc3\xa9"),
    broken("a NUL", b"/open/\x00"),
    broken("a control character", b"/open/\x01"),
    broken("DEL", b"/open/\x7f"),
    broken("a bare LF", b"/open/x\nX: y", 505),
    broken("a bare CR", b"/open/x\rX: y"),
    broken("9 kB", b"/" + b"a" * 9000, 414),
    broken("100 kB", b"/" + b"a" * 100_000, 414),
    broken("100 kB of query", b"/open/x?" + b"a" * 100_000, 414),
    refused("OPTIONS *", b"OPTIONS *" + REST),
    spelled("letters encoded", b"/%6fpen/%78", "/open/x"),
    spelled("encoded signs that may stand for themselves", b"/open/%7e%40%2d", "/open/~@-"),
    spelled("lower-case encoding", b"/open/%c3%a9", "/open/%C3%A9"),
    spelled("brackets and pipes", b"/open/[a]|{b}", "/open/%5Ba%5D%7Cb%7D".replace("%7Cb", "%7C%7Bb")),
    spelled("an encoded question mark", b"/open/a%3fb", "/open/a%3Fb"),
    spelled("an encoded number sign", b"/open/a%23b", "/open/a%23b"),
    spelled("an encoded percent sign", b"/open/100%25", "/open/100%25"),
    spelled("three dots", b"/open/...", "/open/..."),
    spelled("a slash at the end", b"/open/x/", "/open/x/"),
    spelled("two question marks", b"/open/x??a=/../b", "/open/x??a=/../b"),
    spelled("dot segments in the query", b"/open/x?/../%2e%2e/api", "/open/x?/../%2e%2e/api"),
    spelled("a token in the query", b"/open/x?a=1&access_token=t&b=%zz", "/open/x?a=1&b=%zz"),
    spelled("an empty query", b"/open/x?", "/open/x?"),
]
