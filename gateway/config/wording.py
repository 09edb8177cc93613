"""pydantic's mistakes in words for people who write YAML."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic_core import ErrorDetails

from gateway.config.mistakes import did_you_mean, shown_text
from gateway.config.names import NAME
from gateway.model.settings import HEADER_NAME

_MUST_BE: Final[Mapping[str, str]] = {
    "string_type": "text",
    "string_unicode": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "path_type": "a file name",
    "dataclass_type": "text",
    "ip_v4_network": "an IPv4 network (10.0.0.0/8)",
    "ip_v6_network": "an IPv6 network (fd00::/8)",
}

_WITH_BOUND: Final[Mapping[str, tuple[str, str]]] = {
    "greater_than": ("must be more than", "gt"),
    "greater_than_equal": ("must be at least", "ge"),
    "less_than": ("must be less than", "lt"),
    "less_than_equal": ("must be at most", "le"),
    "string_too_long": ("must not have more characters than", "max_length"),
}

_PATTERNS: Final[Mapping[str, str]] = {
    NAME: 'must be at most 64 letters, digits, ".", "_" and "-", the first a letter or a digit',
    HEADER_NAME: "must be a header name without spaces and underscores",
}
"""Patterns that most people meet, in words."""

_QUOTED = re.compile(r"'([^']*)'")
_KEYS = re.compile(r"one of the keys ([a-z_, ]+)")
_NEEDS_NO_QUOTES = re.compile(r"[A-Za-z][A-Za-z0-9_./+-]*")


def unknown_setting(name: str, known: Iterable[str]) -> str:
    """Return what is wrong with a setting that does not exist."""
    return f'unknown setting "{shown_text(name)}"{did_you_mean(name, known)}'


def sentence(errors: list[ErrorDetails], *, may_echo: bool) -> str:
    """Return what is wrong with one value. Several errors are those of the members of a union: none of them took it.

    The value is only shown if it may be.
    """
    if len(errors) > 1:
        return _none_of_several(errors, may_echo=may_echo)
    [error] = errors
    kind, value = error["type"], error["input"]
    if kind == "missing":
        return "is required"
    if kind in ("value_error", "assertion_error"):
        return _own_message(error, may_echo=may_echo)
    if kind in ("string_type", "dataclass_type") and isinstance(value, int | float):
        return f"{_text(error)}; put it in quotes"
    return _text(error) + _shown_input(value, may_echo=may_echo) + (_suggestion(error) if may_echo else "")


def _none_of_several(errors: list[ErrorDetails], *, may_echo: bool) -> str:
    texts = list(dict.fromkeys(_text(error) for error in errors))
    if not all(text.startswith("must be ") for text in texts):
        return "; or ".join(texts)
    alternatives = either([text.removeprefix("must be ") for text in texts])
    return f"must be {alternatives}" + _shown_input(errors[0]["input"], may_echo=may_echo)


def _text(error: ErrorDetails) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind in _MUST_BE:
        return f"must be {_MUST_BE[kind]}"
    if kind in _WITH_BOUND:
        words, name = _WITH_BOUND[kind]
        return f"{words} {_number(context[name])}"
    if kind == "literal_error":
        return f"must be {_alternatives(context['expected'])}"
    if kind in ("too_short", "string_too_short"):
        least = context["min_length"]
        return "must not be empty" if least == 1 else f"must have at least {least} members"
    if kind == "string_pattern_mismatch":
        return _PATTERNS.get(context["pattern"], f"must match {context['pattern']}")
    return error["msg"].replace("Input should be", "must be")


def _alternatives(expected: str) -> str:
    words = _QUOTED.findall(expected)
    return either([f'"{word}"' for word in words]) if words else expected


def either(words: list[str]) -> str:
    """Return `a, b or c`."""
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _suggestion(error: ErrorDetails) -> str:
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if _text(error) == "must be a list" and isinstance(value, str) and value:
        return f"; write [{shown_text(value) if _NEEDS_NO_QUOTES.fullmatch(value) else json.dumps(shown_text(value))}]"
    if isinstance(value, dict) and (keys := _KEYS.search(error["msg"])):
        known = keys[1].split(", ")
        return next(filter(None, (did_you_mean(str(name), known) for name in value)), "")
    if kind == "literal_error" and isinstance(value, str):
        return did_you_mean(value, _QUOTED.findall(context["expected"]))
    if kind == "string_pattern_mismatch" and value.isprintable() and re.search(context["pattern"], value.upper()):
        return f'; did you mean "{value.upper()}"?'
    return ""


def _own_message(error: ErrorDetails, *, may_echo: bool) -> str:
    """Return what a validator of ours says; not if it shows a value that may not be shown."""
    message = str(error.get("ctx", {}).get("error", error["msg"]))
    value = error["input"]
    if may_echo and isinstance(value, str) and message.startswith("is not "):
        return f'"{shown_text(value)}" {message}'
    if may_echo or not isinstance(value, str) or value not in message:
        return message
    return "is not valid here; the value is not shown, because it may be a secret"


def _shown_input(value: Any, *, may_echo: bool) -> str:
    if value is None:
        return ", but nothing is given"
    if not may_echo or not isinstance(value, str | int | float) or value == "":
        return ""
    return f', not "{shown_text(value)}"' if isinstance(value, str) else f", not {str(value).lower()}"


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
