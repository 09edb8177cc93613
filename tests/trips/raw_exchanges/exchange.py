"""A row of the tables: bytes, and all that may come of them."""

from dataclasses import dataclass, field
from typing import Any, Literal

CANARY = b"GET /open/canary HTTP/1.1\r\nHost: canary\r\nX-Canary: sings\r\nConnection: close\r\n\r\n"
"""What follows each row on the same connection."""


@dataclass(frozen=True)
class Seen:
    """A request as the upstream sees it. `headers` are those that the client sent and nobody else."""

    method: str = "GET"
    target: str = "/open/x"
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    host: str = "a"


SEEN_CANARY = Seen("GET", "/open/canary", headers=(("x-canary", "sings"),), host="canary")


@dataclass(frozen=True)
class Exchange:
    """What a client sends, and what comes of it.

    `statuses` are those of all answers, in order. `seen` is all that the upstream sees, and nothing else; with
    `begins` it may also see the beginning of one more request, which is cut off. With `ends` the connection ends and
    the canary is never heard of; otherwise it is answered. `finishes`: the client closes its side after the canary.
    """

    name: str
    sent: bytes
    statuses: tuple[int, ...]
    seen: tuple[Seen, ...] = ()
    ends: bool = False
    begins: bool = False
    finishes: bool = False
    methods: tuple[str, ...] = field(default=())
    """Of the requests, where one is HEAD."""


def ends(name: str, sent: bytes, status: int = 400) -> Exchange:
    """Refused, and the connection ends: where the next request begins is in doubt."""
    return Exchange(name, sent, (status,), ends=True)


def cut(name: str, sent: bytes, status: int = 400) -> Exchange:
    """Refused when its head may have been sent on already: the upstream sees it cut, never whole."""
    return Exchange(name, sent, (status,), ends=True, begins=True)


def refused(name: str, sent: bytes, status: int = 400) -> Exchange:
    """Refused alone: where it ends is beyond doubt, so the canary is answered."""
    return Exchange(name, sent, (status,))


def passes(name: str, sent: bytes, *seen: Seen) -> Exchange:
    """Written anew for the upstream in a form that cannot be read in two ways; the canary is answered."""
    return Exchange(name, sent, (200,) * len(seen), seen)


@dataclass(frozen=True)
class Answering:
    """What an upstream says to one request, and what comes of it.

    `late` is said when the connection is idle again. `statuses` and `body` are what the client sees; with `cut` the
    last answer is seen to be cut off. Only where all is beyond doubt (`reused`) may the canary come on the same
    connection. `ending` is what the upstream does afterwards.
    """

    name: str
    says: bytes
    statuses: tuple[int, ...]
    body: bytes = b""
    late: bytes = b""
    asks: bytes = b"GET /open/x HTTP/1.1\r\nHost: a\r\n\r\n"
    ending: Literal["stay", "fin", "rst"] = "stay"
    cut: bool = False
    reused: bool | None = False
    """None: either, as it does no harm."""
    has: tuple[tuple[str, str], ...] = ()
    """Headers of the last answer."""
    lacks: tuple[str, ...] = ()
    closes: bool = False
    """The client's connection ends with the answer."""
    is_early: bool = False
    """It is said as soon as the head of the request has come."""
    methods: tuple[str, ...] = ("GET",)


def bad(name: str, says: bytes, **more: Any) -> Answering:
    """No answer at all, or none that can be relied on: 502, and the connection is never used again."""
    return Answering(name, says, **{"statuses": (502,), **more})


def good(name: str, says: bytes, body: bytes = b"ok", status: int = 200, **more: Any) -> Answering:
    """Beyond doubt: written anew for the client, and the connection serves the next request."""
    return Answering(name, says, **{"statuses": (status,), "body": body, "reused": True, **more})


def doubtful(name: str, says: bytes, body: bytes = b"ok", status: int = 200, **more: Any) -> Answering:
    """A good answer, but what came with it is in doubt: the connection is never used again."""
    return good(name, says, body, status, **{"reused": False, **more})


def harmless(name: str, says: bytes, body: bytes = b"ok", status: int = 200, **more: Any) -> Answering:
    """A good answer, and more that the parser skips: the connection may be used again or not."""
    return good(name, says, body, status, **{"reused": None, **more})


def broken(name: str, says: bytes, status: int = 200, **more: Any) -> Answering:
    """It breaks off: the client sees that it is not whole."""
    return Answering(name, says, **{"statuses": (status,), "cut": True, "closes": True, **more})
