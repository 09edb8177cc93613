import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.tokens.strict_json import MAX_DEPTH, MAX_INTEGER, NotStrictJson, read_object

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(st.characters(codec="utf-8")), JSON), st.booleans())
def test_honest_json_is_read_as_it_is(value: dict[str, object], ascii_only: bool) -> None:
    assert read_object(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@pytest.mark.parametrize(
    "document",
    [
        b'{"sub":"a","sub":"b"}',
        b'{"a":{"b":1,"b":1}}',
        b'{"a":[{"b":1,"b":2}]}',
        b'{"a":1,"\\u0061":2}',
    ],
)
def test_a_member_that_occurs_twice_is_refused(document: bytes) -> None:
    """C56"""
    with pytest.raises(NotStrictJson, match="twice"):
        read_object(document)


@pytest.mark.parametrize(
    "document",
    [
        b'\xef\xbb\xbf{"sub":"a"}',
        '{"sub":"a"}'.encode("utf-16"),
        '{"sub":"a"}'.encode("utf-16-le"),
        '{"sub":"a"}'.encode("utf-32-be"),
        b'{"sub":"\xe4"}',
        b'{"sub":"\xed\xa0\x80"}',
        b'{"sub":"\xc0\xaf"}',
    ],
)
def test_anything_but_utf_8_without_bom_is_refused(document: bytes) -> None:
    """C57"""
    with pytest.raises(NotStrictJson):
        read_object(document)


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "9" * 21, "9" * 5000, "01", "+1", "1."]
)
def test_a_number_that_not_everybody_reads_alike_is_refused(number: str) -> None:
    """C46"""
    with pytest.raises(NotStrictJson):
        read_object(b'{"exp":' + number.encode() + b"}")


@pytest.mark.parametrize(
    "document", [b"[]", b'"a"', b"1", b"null", b"", b"{", b"{} {}", b"{}x", b"{'a':1}", b'{"a":"\n"}']
)
def test_anything_but_one_object_is_refused(document: bytes) -> None:
    """C60"""
    with pytest.raises(NotStrictJson):
        read_object(document)


@pytest.mark.parametrize("text", [b'"\\ud800"', b'"\\udc00\\ud800"', b'["\\uDFFF"]', b'{"\\ud800":1}'])
def test_a_lone_surrogate_is_refused_and_a_pair_is_not(text: bytes) -> None:
    with pytest.raises(NotStrictJson):
        read_object(b'{"a":' + text + b"}")
    assert read_object(b'{"a":"\\ud83d\\ude00"}') == {"a": "😀"}


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
def test_a_document_nested_100_000_deep_is_refused(opening: bytes) -> None:
    """C59"""
    with pytest.raises(NotStrictJson, match="deeper"):
        read_object(b'{"a":' + opening * 100_000)


def test_depth_is_counted_outside_of_strings_only() -> None:
    brackets = {"a": ["[" * 100, '\\"[{' * 100, {"[[[": "]]]"}], "b": [{}] * 100}
    assert read_object(json.dumps(brackets).encode()) == brackets
    deepest = b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1)
    assert read_object(b'{"a":' + deepest + b"}")
    with pytest.raises(NotStrictJson, match="deeper"):
        read_object(b'{"a":[' + deepest + b"]}")


@pytest.mark.parametrize("text", ['"', "\\", '"' + '\\"' * 4000, '"\\' * 4000, "a\\" * 4000, '"' * 4001])
def test_text_made_to_slow_the_depth_check_down_is_refused(text: str) -> None:
    """C71"""
    with pytest.raises(NotStrictJson):
        read_object(b'{"a":' + b"[" * 20 + b"{}," * 20 + text.encode())


# --- the rules once more, written to be plain and not fast


def plainly_read(document: bytes) -> dict[str, Any]:
    """Return what `read_object` should. Raises ValueError."""
    text = document.decode("utf-8")
    if depth(text) > MAX_DEPTH:
        raise ValueError("deep")
    value = json.loads(text, object_pairs_hook=members, parse_int=integer, parse_float=number, parse_constant=constant)
    json.dumps(value, ensure_ascii=False).encode("utf-8")
    if isinstance(value, dict):
        return value
    raise ValueError("no object")


def depth(text: str) -> int:
    deepest = now = 0
    in_string = escaped = False
    for character in text:
        if in_string:
            in_string = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            in_string = True
        else:
            now += (character in "[{") - (character in "]}")
            deepest = max(deepest, now)
    return deepest


def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("twice")
    return dict(pairs)


def integer(text: str) -> int:
    if len(text) > MAX_INTEGER:
        raise ValueError("large")
    return int(text)


def number(text: str) -> float:
    if math.isinf(float(text)):
        raise ValueError("infinite")
    return float(text)


def constant(text: str) -> Any:
    raise ValueError(text)


PIECES = [
    *(b"{", b"}", b"[", b"]", b'"', b",", b":", b" ", b"\n", b"\t", b"\x0b", b"\\", b"\xef\xbb\xbf", b"\xff", b"/**/"),
    *(b'"a"', b'"b":', b'"a":1', b'"\\u0061":2', b'"\\ud800"', b'"\\ud83d\\ude00"', b'"\\"[{"', "ä".encode(), b"null"),
    *(b"0", b"-", b"1", b"01", b"1.5", b"1e400", b"-0.0", b"NaN", b"Infinity", b"9" * 20, b"9" * 21, b"-" + b"9" * 20),
    *(b'{"a":' * 31, b"[" * 31, b"]" * 31, b"}" * 31),
]
DOCUMENTS = (
    st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join)
    | st.lists(st.sampled_from(PIECES), max_size=6).map(lambda pieces: b'{"c":' + b"".join(pieces) + b"}")
    | st.tuples(
        st.sampled_from([b"", b" ", b"\n", b"x"]), st.dictionaries(st.text(), JSON), st.sampled_from(PIECES)
    ).map(lambda parts: parts[0] + json.dumps(parts[1]).encode() + parts[2])
    | st.binary()
)


@settings(deadline=None, max_examples=300)
@given(DOCUMENTS)
def test_the_verdict_is_that_of_the_plain_rules(document: bytes) -> None:
    try:
        expected = repr(plainly_read(document))
    except ValueError:
        with pytest.raises(NotStrictJson):
            read_object(document)
    else:
        assert repr(read_object(document)) == expected
