import pytest

from gateway.model.scope import is_scope, is_scope_name


@pytest.mark.parametrize("text", ["a", "orders:read orders:write", "!#[]~", "a a"])
def test_names_with_one_space_between_them_are_a_scope(text: str) -> None:
    assert is_scope(text)


@pytest.mark.parametrize("text", ["", " ", " a", "a ", "a  b", "a\tb", "a\nb", "a\n", 'a"', "a\\", "é", "a\x7f"])
def test_anything_else_is_none(text: str) -> None:
    """RFC 6749 §3.3: %x21 / %x23-5B / %x5D-7E."""
    assert not is_scope(text)


def test_a_name_has_no_space() -> None:
    assert is_scope_name("orders:read")
    assert not is_scope_name("a b")
    assert not is_scope_name("")
