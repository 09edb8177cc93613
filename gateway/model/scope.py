"""The form of a scope (RFC 6749 §3.3): names with one space between them."""

import re

_NAME = re.compile(r"[!#-\[\]-~]+")


def is_scope(text: str) -> bool:
    """Say whether this is a scope. An empty text is none."""
    return all(map(is_scope_name, text.split(" ")))


def is_scope_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None
