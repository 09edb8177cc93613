"""What is fuzzed: one module each, with `check(data: bytes)`, which raises AssertionError for what must never happen.

A Refusal is an answer, and caught by the target; any other exception is a finding.
"""

from collections.abc import Callable
from importlib import import_module

TARGETS = (
    "answers",
    "claims",
    "config",
    "form",
    "forwarding",
    "headers",
    "host",
    "jwt",
    "keys",
    "path",
    "refresh_token",
    "requests",
    "strict_json",
    "users",
)


def load(target: str) -> Callable[[bytes], None]:
    """Return the `check` of a target. Imports what it checks: instrument before."""
    check: Callable[[bytes], None] = import_module(f"{__name__}.{target}").check
    return check
