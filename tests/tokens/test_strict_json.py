import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.tokens.strict_json import MAX_DEPTH, NotStrictJson, read_object

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
