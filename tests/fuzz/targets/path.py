"""A request-target has one canonical form, which means what was sent and has nothing in it that servers disagree on."""

import posixpath
import re
from urllib.parse import parse_qsl, unquote_to_bytes, urlsplit

from gateway.engine.paths import canonical_path, path_pattern, read_target
from gateway.engine.routes import Route, RouteTable
from gateway.model.errors import AmbiguousTarget, Refusal
from gateway.model.host import Host

HOST = Host("api.example")
_CANONICAL = re.compile(r"/(?:[A-Za-z0-9\-._~!$&'()*+,=:@/]|%[0-9A-F]{2})*")
_QUERY = re.compile(rb"(?:\?[!-\"$-~]*)?")
_ROUTES = RouteTable(
    Route(path, path_pattern(path), "app")
    for path in ("/", "/public/**", "/public/admin/**", "/orders", "/orders/{id}", "/orders/{id}/items", "/**")
)


def check(data: bytes) -> None:
    _check_pattern(data)
    try:
        target = read_target(data, HOST)
    except Refusal:
        return
    path, query = target.path, target.query
    assert _CANONICAL.fullmatch(path), path
    assert _QUERY.fullmatch(query), query
    assert canonical_path(path.encode()) == path
    assert read_target(path.encode() + query, HOST) == target
    assert target.has_encoded_slash == ("%2F" in path or "%5C" in path)

    sent = data.partition(b"?")[0]
    if not sent.startswith(b"/"):
        sent = urlsplit(sent).path or b"/"
    meant = unquote_to_bytes(path)
    assert unquote_to_bytes(sent) == meant
    text = meant.decode("utf-8").replace("\\", "/")
    assert text == "/" or posixpath.normpath(text) + "/" * text.endswith("/") == text
    assert not re.search(r"[;\x00-\x1f\x7f]", text)
    assert unquote_to_bytes(meant) == meant, "decoding twice changes it"

    for separator in "&;":
        names = {name.strip().lower() for name, _ in parse_qsl(query[1:].decode(), True, separator=separator)}
        assert "access_token" not in names, query
    route = _ROUTES.find(HOST.name, "GET", path)
    assert route is not None
    assert route is _ROUTES.find(HOST.name, "GET", canonical_path(path.encode()))
    assert text.startswith("/public/admin/") <= (route.id == "/public/admin/**") or target.has_encoded_slash


def _check_pattern(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    try:
        pattern = path_pattern(text)
    except ValueError:
        return
    if pattern.rest or None in pattern.segments:
        return
    literal = "/" + "/".join(segment or "" for segment in pattern.segments)
    try:
        assert canonical_path(literal.encode()) == literal
    except AmbiguousTarget as error:
        raise AssertionError(f"the pattern {text!r} can never match") from error
