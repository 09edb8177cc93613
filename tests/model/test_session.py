import secrets

import pytest

from gateway.model.session import is_sid
from gateway.tokens import base64url


def test_sixteen_bytes_are_the_id_of_a_session() -> None:
    assert is_sid(base64url.encode(secrets.token_bytes(16)))


@pytest.mark.parametrize(
    "text", ["", "A" * 21, "A" * 23, "A" * 22 + "\n", "A" * 21 + "B", "A" * 20 + "+A", "é" * 22, "\ud800"]
)
def test_anything_else_is_none(text: str) -> None:
    assert not is_sid(text)
