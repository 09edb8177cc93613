"""What a state URL means: which kind of store, and where it is."""

import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qs, unquote

FORMS = (
    "write sqlite:PATH, redis://HOST:PORT/DB, redis+unix:///PATH, redis+sentinel://HOST,HOST/GROUP or "
    "redis+cluster://HOST,HOST (rediss for TLS)"
)
_URL = re.compile(
    r"(?P<scheme>redis|rediss|redis\+unix|rediss?\+sentinel|rediss?\+cluster)://"
    r"(?:(?P<userinfo>.*)@)?(?P<hosts>[^/?#@]*)(?P<path>/[^?#]*)?(?:\?(?P<query>[^#]*))?"
)
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?")
_PORTS = {"single": 6379, "cluster": 6379, "sentinel": 26379}

Kind = Literal["sqlite", "single", "sentinel", "cluster"]


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """`path` is the SQLite file, or a Unix socket where there are no `hosts`; `group` is that of the Sentinels."""

    kind: Kind
    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    group: str = ""
    db: int = 0
    is_tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)


def read_url(url: str) -> StoreUrl:
    """Read a URL. Raises ValueError with one sentence that shows nothing of it: it may hold a password."""
    if url.startswith("sqlite:"):
        path = url.removeprefix("sqlite:")
        if not path or path.startswith("//"):
            raise ValueError("names no file: write sqlite:PATH, without slashes before a relative path")
        return StoreUrl("sqlite", path=path)
    if (match := _URL.fullmatch(url)) is None:
        raise ValueError(f"is not the URL of a store: {FORMS}")
    return _redis(match)


def _redis(match: re.Match[str]) -> StoreUrl:
    scheme, _, way = match["scheme"].partition("+")
    username, _, password = (match["userinfo"] or "").partition(":")
    path, query = unquote(match["path"] or ""), parse_qs(match["query"] or "", keep_blank_values=True)
    if query.keys() - ({"db"} if way == "unix" else set()):
        raise ValueError("has a query: what it would say are settings beside it")
    kind: Kind = "sentinel" if way == "sentinel" else "cluster" if way == "cluster" else "single"
    hosts, group, db = _hosts(match["hosts"], _PORTS[kind]), "", path.removeprefix("/")
    if way == "unix":
        hosts, db = _no_hosts(match["hosts"], path), query.get("db", ["0"])[0]
    elif not hosts:
        raise ValueError("names no server")
    elif kind == "single" and len(hosts) != 1:
        raise ValueError("names several servers: write redis+sentinel:// or redis+cluster:// for them")
    elif kind == "sentinel":
        group, _, db = db.partition("/")
        if not group:
            raise ValueError("names no group: write redis+sentinel://HOST,HOST/GROUP")
    return StoreUrl(
        kind=kind,
        hosts=hosts,
        path=path if way == "unix" else "",
        group=group,
        db=_db(db, kind),
        is_tls=scheme == "rediss",
        username=unquote(username) or None,
        password=unquote(password) or None,
    )


def _hosts(text: str, default_port: int) -> tuple[tuple[str, int], ...]:
    hosts = []
    for part in text.split(",") if text else ():
        match = _HOST.fullmatch(part)
        if match is None or not 0 < int(match["port"] or default_port) < 65536:
            raise ValueError("names a server that is not HOST or HOST:PORT")
        hosts.append((match["host"].strip("[]"), int(match["port"] or default_port)))
    return tuple(hosts)


def _no_hosts(hosts: str, path: str) -> tuple[tuple[str, int], ...]:
    if hosts or len(path) < 2:
        raise ValueError("names no socket: write redis+unix:///PATH, with three slashes")
    return ()


def _db(text: str, kind: Kind) -> int:
    if kind == "cluster" and text:
        raise ValueError("names a database: a cluster has only one")
    if text and not re.fullmatch("[0-9]{1,5}", text):
        raise ValueError("does not end in the number of a database")
    return int(text or 0)
