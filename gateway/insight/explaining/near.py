"""What a request that no route matches may have been meant for."""

from collections.abc import Iterator
from difflib import get_close_matches
from heapq import nlargest
from itertools import chain

from gateway.engine.routes import Route, RouteTable

_MOST = 3
_SIMILAR = 0.6
_COMPARED = 100
"""Paths that are compared letter by letter, which takes long: those with the most segments in common."""


def near_routes(table: RouteTable, host: str, method: str, path: str) -> list[str]:
    """Return the few nearest candidates in words: those that differ in one thing only come first."""
    candidates = chain(
        _for_other_methods(table, host, path),
        _with_other_slash(table, host, method, path),
        _on_other_hosts(table, method, path),
        _with_similar_path(table, path),
    )
    words: dict[str, str] = {}
    for route, what in candidates:
        words.setdefault(route.id, f'"{route.id}" ({pattern(route)}) {what}')
    return list(words.values())[:_MOST]


def pattern(route: Route) -> str:
    """Return the path pattern of a route, as it would be written in YAML."""
    segments = ["{}" if segment is None else segment for segment in route.path.segments]
    return "/" + "/".join([*segments, "**"] if route.path.rest else segments)


def _for_other_methods(table: RouteTable, host: str, path: str) -> Iterator[tuple[Route, str]]:
    methods = dict.fromkeys(method for route in table.routes for method in route.methods or ())
    for route in filter(None, (table.find(host, method, path) for method in methods)):
        yield route, f"takes this path, but only for {', '.join(route.methods or ())}"


def _with_other_slash(table: RouteTable, host: str, method: str, path: str) -> Iterator[tuple[Route, str]]:
    other = path.removesuffix("/") if path.endswith("/") else f"{path}/"
    if route := table.find(host, method, other or "/"):
        slash = "without" if path.endswith("/") else "with"
        yield route, f"takes {other}, {slash} a slash at the end"


def _on_other_hosts(table: RouteTable, method: str, path: str) -> Iterator[tuple[Route, str]]:
    for host in dict.fromkeys(host for route in table.routes for host in route.hosts):
        if route := table.find(host.replace("*", "any"), method, path):
            yield route, f"takes this path, but only on {', '.join(route.hosts)}"


def _with_similar_path(table: RouteTable, path: str) -> Iterator[tuple[Route, str]]:
    routes, segments = {pattern(route): route for route in table.routes}, set(path.split("/"))
    nearest = nlargest(_COMPARED, routes, key=lambda text: len(segments.intersection(text.split("/"))))
    for text in get_close_matches(path, nearest, n=_MOST, cutoff=_SIMILAR):
        yield routes[text], "has a similar path"
