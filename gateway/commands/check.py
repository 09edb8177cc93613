"""`gateway check`: is this configuration good, and what does it mean?"""

import argparse
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from gateway.commands.showing.table import table
from gateway.config.compile import CompileMistakes, compile_config
from gateway.config.load import load_config
from gateway.config.mistakes import ConfigMistakes
from gateway.config.schema import Config, Rewrite, RouteSettings
from gateway.config.snapshot import Snapshot
from gateway.engine.paths import path_pattern
from gateway.engine.routes import RouteTable
from gateway.mechanisms.base import offline_resources


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "check",
        help="check a configuration and show its routes",
        description="Print every mistake in a configuration, or its routes, most specific first. Uses no network.",
    )
    parser.add_argument("config", metavar="CONFIG", type=Path, help="the configuration file")


def run(arguments: argparse.Namespace) -> int:
    try:
        snapshot = checked(arguments.config, os.environ)
    except ConfigMistakes as mistakes:
        print(mistakes, file=sys.stderr)
        return 1
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    print(routes_table(snapshot.config, width))
    for note in notes(snapshot.routes):
        print(f"\nnote: {note}")
    print(f"\n{summary(arguments.config, snapshot.config)}")
    return 0


def checked(file: Path, environment: Mapping[str, str]) -> Snapshot:
    """Return what a configuration compiles to: its files can be read, its keys are usable. Raises ConfigMistakes."""
    loaded = load_config(file, environment)
    try:
        return compile_config(loaded.config, offline_resources(file.parent))
    except CompileMistakes as error:
        raise loaded.mistakes(error) from error


def notes(table: RouteTable) -> Iterator[str]:
    """Yield what is no mistake, but may not be meant: a path that is protected, beside one that is not."""
    for route in table.routes:
        if route.access == "public" or route.path.rest or None in route.path.segments:
            continue
        path = route.path.literal_prefix or "/"
        beside = path.removesuffix("/") if path.endswith("/") else f"{path}/"
        host = route.hosts[0].removeprefix("*.") if route.hosts else ""
        other = table.find(host, route.methods[0] if route.methods else "GET", beside) if beside else None
        if other is not None and other.access == "public":
            yield (
                f"{route.id} protects {path}, but {beside} is taken by the public route {other.id}; "
                f'"{path.rstrip("/")}/**" protects both'
            )


def routes_table(config: Config, width: int | None) -> str:
    """Return the routes as they work, with defaults filled in, the most specific first."""
    routes = sorted(config.routes, key=_specificity)
    header = ("ROUTE", "HOSTS", "PATH", "METHODS", "ACCESS", "AUTHENTICATORS", "REQUIRE", "INJECT", "UPSTREAM")
    return table(header, [_row(route, config) for route in routes], width)


def _row(route: RouteSettings, config: Config) -> tuple[str, ...]:
    is_public = route.access == "public"
    authenticators = tuple(config.authenticators) if route.authenticators is None else route.authenticators
    inject = config.inject if route.inject is None else route.inject
    headers = [header for mutator in inject for header in sorted(mutator.owned)]
    return (
        route.id,
        ", ".join(route.match.hosts) or "any",
        route.match.path,
        ", ".join(route.match.methods or ()) or "any",
        route.access,
        "-" if is_public else ", ".join(authenticators),
        "; ".join(policy.words for policy in route.require) or "-",
        "-" if is_public else ", ".join(headers) or "-",
        route.upstream if route.rewrite is None else f"{route.upstream} ({_rewrite(route.rewrite)})",
    )


def _rewrite(rewrite: Rewrite) -> str:
    prefix, replacement = rewrite.replace_prefix or (rewrite.strip_prefix, "/")
    return f"{prefix} -> {replacement}"


def _specificity(route: RouteSettings) -> tuple[object, ...]:
    """Return a sort key in the order in which the route table prefers routes; routes that never compete are grouped."""
    pattern = path_pattern(route.match.path)
    segments = [(1, "") if segment is None else (0, segment) for segment in pattern.segments]
    path = (*segments, (2, "")) if pattern.rest else tuple(segments)
    host = (
        min((host.startswith("*."), -len(host), host) for host in route.match.hosts)
        if route.match.hosts
        else (2, 0, "")
    )
    return host, path, route.match.methods is None, route.id


def summary(file: Path, config: Config) -> str:
    """Return one line about the whole configuration, with the weaknesses that it accepts."""
    counts = ", ".join(
        (
            _counted(len(config.routes), "route"),
            _counted(len(config.upstreams), "upstream"),
            _counted(len(config.authenticators), "authenticator"),
            _counted(len(config.listen), "listener"),
        )
    )
    insecure = f"; accepted weaknesses: {', '.join(sorted(config.insecure))}" if config.insecure else ""
    return f"{file} is valid: {counts}{insecure}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
