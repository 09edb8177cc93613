"""JSON that no two parsers read differently (RFC 7493, RFC 8725 §3.7).

UTF-8 without a byte order mark, no member twice, no number that a 64-bit integer or double cannot hold, no lone
surrogate, no deep nesting.
"""

import json
import re
from json.scanner import make_scanner
from math import isfinite
from typing import Any, cast

MAX_DEPTH = 32
MAX_INTEGER = 20
"""Characters of an integer: a sign and the 19 digits of 64 bits."""


class NotStrictJson(ValueError):
    """The message says what is wrong, and never quotes the document."""


def read_object(document: bytes) -> dict[str, Any]:
    """Return the one JSON object in `document`. Raises NotStrictJson; the work is linear in its size."""
    try:
        text = document.decode("utf-8")
        if text.count("[") + text.count("{") > MAX_DEPTH:
            _refuse_deep(text)
        value = _value(text)
        if "\\u" in text:
            _refuse_lone_surrogates(value)
    except ValueError as error:
        raise NotStrictJson(str(error)) from error
    if type(value) is not dict:
        raise NotStrictJson("not an object")
    return value


def _value(text: str) -> Any:
    """Do what the decoder does, without its search for white space where there is none around an object."""
    if text.startswith("{"):
        try:
            value, end = _SCAN(text, 0)
        except StopIteration:
            end = -1
        if end == len(text):
            return value
    return _DECODER.decode(text)


def _refuse_deep(text: str) -> None:
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH}")


_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
"""Possessive, with an optional end: one pass, whatever the input."""

_BRACKET = re.compile(r"[\[\]{}]")


def _refuse_lone_surrogates(value: Any) -> None:
    json.dumps(value, ensure_ascii=False).encode("utf-8")


def _unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(members)
    if len(value) != len(members):
        raise ValueError("a member occurs twice")
    return value


def _integer(text: str) -> int:
    if len(text) > MAX_INTEGER:
        raise ValueError("an integer is too large")
    return int(text)


def _float(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise ValueError("a number is too large")
    return value


def _constant(_name: str) -> None:
    raise ValueError("NaN or Infinity")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_int=_integer, parse_float=_float, parse_constant=_constant)
_SCAN = make_scanner(cast(Any, _DECODER))
"""Reads one value where it starts, and tells where it ends."""
