import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.tokens.base64url import decode, encode


@settings(deadline=None)
@given(st.binary(min_size=1))
def test_what_is_encoded_decodes_to_itself(value: bytes) -> None:
    assert decode(encode(value).encode()) == value


@settings(deadline=None)
@given(st.text("ABQRghw0129-_", min_size=1, max_size=8))
def test_a_value_has_one_spelling(text: str) -> None:
    try:
        value = decode(text.encode())
    except ValueError:
        return
    assert encode(value) == text


@pytest.mark.parametrize(
    "text", [b"", b"YQ==", b"YQ=", b"Y Q", b"YQ\n", b"Y+/A", b"YR", b"YWJ", b"A", b"AAAAA", b"\xff\xff"]
)
def test_padding_other_characters_and_stray_bits_are_refused(text: bytes) -> None:
    with pytest.raises(ValueError):
        decode(text)
