import pytest

from gateway.model.errors import ExpiredToken
from gateway.tokens.expired import ExpiredTokens
from tests.minting import NOW


def is_refused(tokens: ExpiredTokens, token: str, now: float = NOW + 1) -> bool:
    try:
        tokens.refuse(token, 0.5, now)
    except ExpiredToken:
        return True
    return False


def test_a_remembered_token_is_refused_and_another_is_not() -> None:
    tokens = ExpiredTokens(10)
    tokens.remember("old", NOW, "key-1")
    assert is_refused(tokens, "old")
    assert not is_refused(tokens, "other")


def test_nothing_is_said_of_a_time_before_the_expiry() -> None:
    """The clock has been set back: the token may be good."""
    tokens = ExpiredTokens(10)
    tokens.remember("old", NOW, "key-1")
    assert not is_refused(tokens, "old", NOW + 0.4)
    assert is_refused(tokens, "old", NOW + 0.5)


def test_the_oldest_makes_room() -> None:
    tokens = ExpiredTokens(3)
    for token in "abcd":
        tokens.remember(token, NOW, "key-1")
    assert [is_refused(tokens, token) for token in "abcd"] == [False, True, True, True]
    assert len(tokens) == 3


@pytest.mark.parametrize(("max_entries", "length"), [(0, 10), (10, 4097)])
def test_what_is_not_worth_the_room_is_not_remembered(max_entries: int, length: int) -> None:
    tokens = ExpiredTokens(max_entries)
    tokens.remember("x" * length, NOW, "key-1")
    assert len(tokens) == 0


def test_tokens_are_forgotten_with_the_key_that_made_them() -> None:
    tokens = ExpiredTokens(10)
    tokens.remember("a", NOW, "gone")
    tokens.remember("b", NOW, "kept")
    tokens.forget(frozenset({"gone", "unknown"}))
    assert not is_refused(tokens, "a")
    assert is_refused(tokens, "b")
