"""What a scalar of the configuration means: interpolation, then its type.

Types are those of YAML 1.2's core schema, so a date, `12:30` and `0b1` are text. Plain scalars that YAML 1.1 and YAML
1.2 read differently (`yes`, `off`, `0123`, `1_000`) are mistakes: whichever way they were taken, half of the readers
would expect the other.

`${NAME}` is the environment variable, `${NAME:-default}` has a default for a variable that is unset or empty, `$${` is
a literal `${`. Interpolation never changes structure: the outcome is one scalar. Only a plain scalar that is nothing
but one interpolation is typed like a plain scalar; everything else with an interpolation in it is text.
"""

import math
import re
from collections.abc import Mapping

from gateway.config.mistakes import did_you_mean, shown_text

Scalar = str | int | float | bool | None


class BadScalar(Exception):
    """A scalar without a clear meaning."""


_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_YAML_1_1_BOOLEAN = re.compile(r"yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF")
_YAML_1_1_NUMBER = re.compile(r"[-+]?(?:0[0-9_]+|[0-9][0-9_]*_[0-9_]*)")
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_MAX_DIGITS = 40


def plain_value(text: str) -> Scalar:
    """Return what a plain scalar means. Raises BadScalar."""
    if text in _WORDS:
        return _WORDS[text]
    if _YAML_1_1_BOOLEAN.fullmatch(text):
        meant = "true" if text.lower() in ("yes", "on") else "false"
        raise BadScalar(
            f'"{text}" is a boolean in some versions of YAML and text in others; write {meant}, or put it in quotes'
        )
    if _YAML_1_1_NUMBER.fullmatch(text):
        raise BadScalar(
            f'"{shown_text(text)}" is read differently by versions of YAML; write a plain number, or put it in quotes'
        )
    if _INTEGER.fullmatch(text):
        return _integer(text)
    return _float(text) if _FLOAT.fullmatch(text) else text


def _integer(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise BadScalar("the number is too large")
    return int(text, 0)


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise BadScalar("the number is too large")
    return number


_DOLLAR = re.compile(r"(?P<literal>\$\$\{)|\$\{(?P<inside>[^{}]*)\}|(?P<broken>\$\{)")
_INSIDE = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>.*))?", re.DOTALL)


def is_one_interpolation(text: str) -> bool:
    """Say whether the text is `${…}` and nothing else."""
    match = _DOLLAR.fullmatch(text)
    return match is not None and match["inside"] is not None


def has_interpolation(text: str) -> bool:
    """Say whether the environment is asked for anything."""
    return any(match["inside"] is not None for match in _DOLLAR.finditer(text))


def interpolated(text: str, environment: Mapping[str, str]) -> str:
    """Return the text with `${…}` replaced. Raises BadScalar, which names the variable and never shows a value."""

    def replacement(match: re.Match[str]) -> str:
        return "${" if match["literal"] else _variable(match["inside"], environment)

    return _DOLLAR.sub(replacement, text)


def _variable(inside: str | None, environment: Mapping[str, str]) -> str:
    match = _INSIDE.fullmatch(inside) if inside is not None else None
    if match is None:
        raise BadScalar("not an interpolation; write ${NAME} or ${NAME:-default}, or $${ for a literal ${")
    name, default = match["name"], match["default"]
    value = environment.get(name)
    if default is not None and not value:
        return default
    if value is None:
        raise BadScalar(f"the environment variable {name} is not set{did_you_mean(name, environment)}")
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise BadScalar(f"the environment variable {name} is not UTF-8")
    return value
