import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.tokens.keyed_hash import KeyedHash


@given(st.binary(max_size=64), st.lists(st.binary(max_size=200), max_size=3))
def test_it_gives_what_hmac_gives_however_often_it_is_asked(key: bytes, messages: list[bytes]) -> None:
    keyed = KeyedHash(key)
    for message in messages:
        assert keyed.digest(message) == hmac.digest(key, message, "sha256")


def test_a_longer_key_is_refused() -> None:
    with pytest.raises(ValueError, match="65 bytes"):
        KeyedHash(bytes(65))


def test_a_key_does_not_show() -> None:
    assert "secret" not in repr(KeyedHash(b"secret")) + str(vars(KeyedHash(b"secret")))
