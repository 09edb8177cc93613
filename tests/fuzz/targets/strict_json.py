"""Strict JSON is JSON, and every parser reads it as this one does."""

import json
from typing import Any

from gateway.tokens.strict_json import MAX_DEPTH, NotStrictJson, read_object


def check(data: bytes) -> None:
    expected = reference(data)
    try:
        value = read_object(data)
    except NotStrictJson as error:
        assert str(error)
        assert expected is None, f"refused: {error}"
        return
    assert expected is not None, "accepted"
    assert json.dumps(value) == json.dumps(expected)
    again = json.dumps(value, ensure_ascii=False).encode("utf-8")
    assert json.dumps(read_object(again)) == json.dumps(value)


def reference(data: bytes) -> dict[str, Any] | None:
    """Return what a strict JSON object says, judged by what comes out of a parser that is not strict."""
    repeated = False

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeated
        repeated = repeated or len({name for name, _ in pairs}) < len(pairs)
        return dict(pairs)

    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=members, parse_int=_Integer)
    except (ValueError, RecursionError):
        return None
    if repeated or type(value) is not dict or not _is_strict(value, 1):
        return None
    return _plain(value)  # type: ignore[no-any-return]


class _Integer(str):
    """The digits of an integer."""


def _is_strict(value: Any, depth: int) -> bool:
    match value:
        case dict():
            inside = all(_is_strict(each, depth + 1) for pair in value.items() for each in pair)
            return depth <= MAX_DEPTH and inside
        case list():
            return depth <= MAX_DEPTH and all(_is_strict(each, depth + 1) for each in value)
        case _Integer():
            return len(value) <= 20
        case str():
            return not any("\ud800" <= letter <= "\udfff" for letter in value)
        case float():
            return abs(value) < float("inf")
    return True


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {name: _plain(each) for name, each in value.items()}
        case list():
            return [_plain(each) for each in value]
        case _Integer():
            return int(value)
    return value
