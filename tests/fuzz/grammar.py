"""Inputs that are nearly right, for Hypothesis: made from the grammar of what a target takes, then bent a little."""

import json
from typing import Any

from hypothesis import strategies as st

TOKEN = st.from_regex(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}", fullmatch=True).map(str.encode)
_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=12)


def bent(inputs: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Return the inputs as they are, or with a piece cut out, doubled or replaced."""
    return st.one_of(inputs, st.builds(_bend, inputs, st.integers(0), st.integers(0, 20), st.binary(max_size=4)))


def _bend(data: bytes, place: int, length: int, other: bytes) -> bytes:
    start = place % (len(data) + 1)
    piece = data[start : start + length]
    return data[:start] + (other if place % 3 else piece * 2) + data[start + length :]


def spelled(name: bytes) -> st.SearchStrategy[bytes]:
    """Return the name in other cases, and with other signs for its hyphens."""

    def spell(upper: list[bool], sign: str) -> bytes:
        text = "".join(
            letter.upper() if high else letter for letter, high in zip(name.decode(), upper, strict=True)
        ).replace("-", sign)
        return text.encode()

    booleans = st.lists(st.booleans(), min_size=len(name), max_size=len(name))
    return st.builds(spell, booleans, st.sampled_from(["-", "-", "_", ".", "~"]))


# --- targets and hosts

_SEGMENT = st.one_of(
    st.sampled_from(
        ["public", "admin", "orders", ".", "..", "", "%2e", "%2E%2e", "a%2fb", "a%5Cb", "%252e", ";x", "%3b"]
    ),
    st.from_regex(r"[A-Za-z0-9._~!$&'()*+,=:@%-]{0,8}", fullmatch=True),
    _TEXT,
    _TEXT.map(lambda text: "".join(f"%{byte:02x}" for byte in text.encode())),
)
_QUERY = st.lists(
    st.tuples(st.sampled_from(["access_token", "%61ccess_token", "a", "+Access_Token", "t"]), _TEXT), max_size=4
).map(lambda pairs: "&".join("=".join(pair) for pair in pairs))
HOSTS = st.one_of(
    st.from_regex(rb"[A-Za-z0-9_-]{1,9}(\.[A-Za-z0-9_-]{1,9}){0,3}\.?(:[0-9]{0,6})?", fullmatch=True),
    st.from_regex(rb"\[[0-9a-f:.]{2,30}\](:[0-9]{1,5})?", fullmatch=True),
    st.ip_addresses().map(lambda address: f"[{address}]:80" if address.version == 6 else str(address)).map(str.encode),
)
TARGETS = st.builds(
    lambda start, segments, query: (start + "/" + "/".join(segments) + query).encode(),
    st.sampled_from(["", "", "", "http://api.example", "HTTPS://API.example.", "http://other.example:80"]),
    st.lists(_SEGMENT, max_size=5),
    st.one_of(st.just(""), _QUERY.map("?{}".format)),
)

# --- header lines

_ADDRESSES = st.ip_addresses().map(str)
_VALUES = st.one_of(
    st.sampled_from(
        [
            *(
                "close",
                "keep-alive, X-User-Id",
                "Bearer a.b.c",
                "bearer\ta",
                "Basic eDp5",
                "at=token; a=1",
                "websocket",
            ),
            *("chat, bearer.token", "https", "100-continue", "chunked", "5", "__Host-refresh=1;; at = 2"),
        ]
    ),
    st.lists(_ADDRESSES, max_size=4).map(", ".join),
    st.lists(_ADDRESSES.map('for="{}"'.format), max_size=3).map(", ".join),
    st.from_regex(r"[\t -~]{0,30}", fullmatch=True),
).map(str.encode)
_NAMES = st.sampled_from(
    [
        *(
            b"x-user-id",
            b"x-roles",
            b"x-request-id",
            b"x-principal-type",
            b"x-access-token",
            b"authorization",
            b"cookie",
        ),
        *(b"sec-websocket-protocol", b"connection", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"),
        *(b"forwarded", b"x-real-ip", b"traceparent", b"tracestate", b"te", b"upgrade", b"expect", b"proxy", b"origin"),
    ]
).flatmap(spelled)
HEADERS = st.lists(st.tuples(st.one_of(_NAMES, TOKEN), _VALUES), max_size=8).map(
    lambda headers: b"".join(name + b": " + value + b"\n" for name, value in headers)
)

# --- messages

_BODIES = st.one_of(
    st.just(b"\r\n"),
    st.binary(max_size=20).map(lambda body: b"Content-Length: %d\r\n\r\n%b" % (len(body), body)),
    st.lists(st.binary(min_size=1, max_size=9), max_size=4).map(
        lambda chunks: (
            b"Transfer-Encoding: chunked\r\n\r\n"
            + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
            + b"0\r\n\r\n"
        )
    ),
)
_ONE_REQUEST = st.builds(
    lambda method, target, version, headers, body: (
        b"%b %b HTTP/%b\r\nHost: api.example\r\n%b%b" % (method, target, version, headers.replace(b"\n", b"\r\n"), body)
    ),
    st.sampled_from([b"GET", b"HEAD", b"POST", b"PUT", b"OPTIONS", b"CONNECT", b"PROPFIND"]),
    st.one_of(st.just(b"/few"), st.just(b"/"), TARGETS),
    st.sampled_from([b"1.1", b"1.1", b"1.1", b"1.0", b"2.0"]),
    st.one_of(st.just(b""), HEADERS),
    _BODIES,
)
_CHOICE = st.integers(0, 255).map(lambda number: bytes([number]))
REQUESTS = st.tuples(_CHOICE, bent(st.lists(_ONE_REQUEST, min_size=1, max_size=4).map(b"".join))).map(b"".join)
_ONE_ANSWER = st.builds(
    lambda version, status, headers, body: (
        b"HTTP/%b %d Any\r\n%b%b" % (version, status, headers.replace(b"\n", b"\r\n"), body)
    ),
    st.sampled_from([b"1.1", b"1.1", b"1.0"]),
    st.sampled_from([200, 200, 204, 304, 404, 500, 100, 101, 103, 999]),
    st.one_of(st.just(b""), HEADERS),
    _BODIES,
)
ANSWERS = st.tuples(_CHOICE, _CHOICE, bent(st.lists(_ONE_ANSWER, min_size=1, max_size=3).map(b"".join))).map(b"".join)

# --- documents

_NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from([1_799_999_990, 1_800_000_600, 1_800_000_005.5, 1_799_999_995, 0, 253402300800]),
)
_WORDS = st.one_of(
    st.sampled_from(["https://gw.example", "https://api.example", "alice", "admin", "a b", ""]), st.text()
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | _NUMBERS | _WORDS,
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(_WORDS, inside, max_size=4),
    max_leaves=12,
)


def _document(value: Any, is_ascii: bool) -> bytes:
    return json.dumps(value, ensure_ascii=is_ascii).encode("utf-8", "surrogatepass")


def objects(*names: str, required: dict[str, Any] | None = None) -> st.SearchStrategy[bytes]:
    """Return JSON objects with some of these members; `required` are there unless the others override them."""
    members = st.dictionaries(st.sampled_from(names) | _WORDS, JSON, max_size=5)
    return bent(
        st.builds(lambda value, is_ascii: _document({**(required or {}), **value}, is_ascii), members, st.booleans())
    )


GOOD_CLAIMS = {
    "iss": "https://gw.example",
    "aud": "https://api.example",
    "sub": "alice",
    "iat": 1_799_999_990,
    "exp": 1_800_000_600,
}
CLAIMS = objects("iss", "aud", "sub", "iat", "exp", "nbf", "cnf", required=GOOD_CLAIMS)
JOSE_HEADERS = objects("alg", "typ", "kid", "crit", required={"alg": "HS256", "typ": "at+jwt", "kid": "k1"})
JWTS = st.one_of(
    CLAIMS.map(b"p".__add__),
    st.builds(lambda header, claims: b"s" + header + b"\0" + claims, JOSE_HEADERS, CLAIMS),
    st.from_regex(rb"t[A-Za-z0-9_-]{0,20}\.[A-Za-z0-9_-]{0,20}\.[A-Za-z0-9_=-]{0,20}", fullmatch=True),
)
REFRESH_TOKENS = st.one_of(
    st.binary(min_size=31, max_size=31),
    st.builds(
        lambda header, claims: b"s" + header + b"\0" + claims,
        objects("alg", "typ", "kid", required={"alg": "HS256", "typ": "rt+jwt", "kid": "0"}),
        objects("iss", "aud", "sid", "gen", "jti", required={"iss": "https://gw.example", "gen": 1}),
    ),
    st.from_regex(rb"trt1\.[A-Za-z0-9_-]{60,66}", fullmatch=True),
)
_FORM_TEXT = st.one_of(
    _TEXT.map(str.encode), st.sampled_from([b"%00", b"%zz", b"a+b", b"%ff", b"%E2%82%AC", b"x", b"token"])
)
FORMS = st.one_of(
    bent(
        st.lists(st.tuples(_FORM_TEXT, _FORM_TEXT).map(b"=".join), max_size=70).map(
            lambda pairs: b"f" + b"&".join(pairs)
        )
    ),
    objects("username", "password", "token", "scope", "x").map(b"j".__add__),
)

_SCALARS = st.sampled_from(
    [
        *(
            "${NAME}",
            '"${NAME}"',
            "${MISSING:-5}",
            "${",
            "x",
            "'*.example.com'",
            "*a",
            "&a b",
            "!!str x",
            "5m",
            "010",
            "on",
        ),
        *(
            "http://127.0.0.1:9000",
            "127.0.0.1:0",
            "/**",
            "public",
            "app",
            "[app]",
            "{path: /x}",
            "~",
            "<<",
            "0x10",
            "|",
            "1e3",
        ),
    ]
)
_KEYS = st.sampled_from(
    [
        *(
            "listen",
            "upstreams",
            "routes",
            "authenticators",
            "id",
            "match",
            "path",
            "upstream",
            "access",
            "targets",
            "realm",
        ),
        *("limits", "timeouts", "inject", "require", "sessions", "state", "x", "<<", "type", "address", "5", "~"),
    ]
)


def _yaml(lines: list[tuple[int, str, str, bool]]) -> bytes:
    return "".join(
        f"{'  ' * depth}{'- ' if is_item else ''}{key}: {value}\n" for depth, key, value, is_item in lines
    ).encode()


CONFIGS = bent(
    st.lists(st.tuples(st.integers(0, 4), _KEYS, st.one_of(_SCALARS, st.just("")), st.booleans()), max_size=20).map(
        _yaml
    )
)

_HASHES = st.sampled_from(
    [
        b"$2b$10$abcdefghijklmnopqrstuuGkZ1m7W0r0ZP2YJ0F0bN4l9gq9w4y2m",
        b"$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg",
        b"$apr1$x$y",
        b"plain",
    ]
)
USERS = bent(
    st.lists(
        st.builds(
            lambda name, hashed, members: name.encode() + b":" + hashed + (b":" + members if members else b""),
            _TEXT,
            _HASHES,
            st.just(b"") | objects("sub", "scope", "claims"),
        ),
        max_size=4,
    ).map(b"\n".join)
)
KEY_SETS = bent(
    st.lists(
        st.dictionaries(
            st.sampled_from(["kty", "crv", "x", "y", "n", "e", "k", "kid", "alg", "use", "key_ops", "signs_from"]),
            st.sampled_from(
                [
                    *(
                        "RSA",
                        "EC",
                        "OKP",
                        "oct",
                        "P-256",
                        "Ed25519",
                        "AQAB",
                        "A" * 43,
                        "k1",
                        "7",
                        "HS256",
                        "ES256",
                        "EdDSA",
                    ),
                    *("sig", "refresh", ["verify"], 1_799_000_000, None),
                ]
            ),
            max_size=9,
        ),
        max_size=4,
    ).map(lambda keys: json.dumps({"keys": keys}).encode())
)
