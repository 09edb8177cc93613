"""The command line: `gateway COMMAND`. Each command is a module with `add(subparsers)` and `run(arguments) -> int`."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from importlib import import_module
from importlib.util import find_spec

from gateway import __version__
from gateway.freshness import outdated
from gateway.workers.garbage import put_off
from gateway.workers.holding import held_back

COMMANDS = (
    *("serve", "health", "check", "test", "doctor", "schema", "top", "tail", "explain"),
    *("token", "keys", "users", "sessions", "demo"),
)
"""The modules of `gateway.commands`, in the order of the help text."""
_INNER = ("parent", "worker")
"""Those that only the gateway itself starts."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 is success, 1 a failure that was explained, 2 wrong usage."""
    words = sys.argv[1:] if argv is None else argv
    if (what_to_do := outdated()) is not None:
        print(what_to_do, file=sys.stderr)
        return 1
    with ExitStack() as stack:
        if words and words[0] == "serve":
            stack.enter_context(held_back())
        if words and words[0] in ("serve", "worker"):
            stack.enter_context(put_off())
        return _run(words)


def _run(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="gateway", description="An API gateway that validates bearer tokens.")
    parser.add_argument("--version", action="version", version=_version() if "--version" in words else "")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in _wanted(words):
        import_module(f"gateway.commands.{name}").add(subparsers)
    if not words:
        parser.print_help(sys.stderr)
        parser.exit(2)
    arguments = parser.parse_args(words)
    status: int = import_module(f"gateway.commands.{arguments.command}").run(arguments)
    return status


def _version() -> str:
    is_compiled = import_module("gateway.compiled").IS_COMPILED
    return f"gateway {__version__} ({'compiled' if is_compiled else 'plain Python'})"


def _wanted(words: Sequence[str]) -> tuple[str, ...]:
    """Return the command that is given, so that no other is imported; without one, all that there are, for the help."""
    if words and words[0] == "--version":
        return ()
    if words and words[0] in (*COMMANDS, *_INNER):
        return (words[0],)
    return tuple(name for name in COMMANDS if find_spec(f"gateway.commands.{name}") is not None)
