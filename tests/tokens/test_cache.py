import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model.errors import ExpiredToken
from gateway.model.principal import Principal
from gateway.tokens.cache import TokenCache
from tests.minting import ISSUER, NOW


def principal(usable_until: float = NOW + 600, verified_by: str = "key-1") -> Principal:
    return Principal(
        subject="alice",
        issuer=ISSUER,
        type="user",
        claims={},
        scopes=frozenset(),
        issued_at=NOW,
        expires_at=int(usable_until),
        usable_until=usable_until,
        token_id=None,
        client_id=None,
        authenticator="idp",
        verified_by=verified_by,
    )


ALICE = principal()


@pytest.fixture
def cache() -> TokenCache:
    return TokenCache(max_entries=3, max_bytes=100)


def test_a_token_put_in_is_found_and_another_is_not(cache: TokenCache) -> None:
    cache.put("token", ALICE, NOW)
    assert cache.get("token") is ALICE
    assert cache.get("other") is None


def test_the_oldest_makes_room_when_there_are_too_many(cache: TokenCache) -> None:
    for token in "abcd":
        cache.put(token, ALICE, NOW)
    assert [cache.get(token) is not None for token in "abcd"] == [False, True, True, True]


def test_the_oldest_make_room_when_they_are_too_long_together(cache: TokenCache) -> None:
    for token in ("a" * 40, "b" * 40, "c" * 60):
        cache.put(token, ALICE, NOW)
    assert cache.get("a" * 40) is None
    assert cache.get("b" * 40) is ALICE
    assert cache.get("c" * 60) is ALICE


def test_an_expired_one_makes_room_before_the_oldest(cache: TokenCache) -> None:
    cache.put("old", ALICE, NOW)
    cache.put("expired", principal(NOW + 1), NOW)
    cache.put("young", ALICE, NOW)
    cache.put("new", ALICE, NOW + 1)
    assert cache.get("expired") is None
    assert cache.get("old") is ALICE


def test_a_token_beyond_all_bounds_is_not_remembered(cache: TokenCache) -> None:
    cache.put("a", ALICE, NOW)
    cache.put("x" * 101, ALICE, NOW)
    assert (cache.get("a"), len(cache)) == (ALICE, 1)
    none = TokenCache(max_entries=0, max_bytes=100)
    none.put("a", ALICE, NOW)
    assert len(none) == 0


def test_a_token_put_in_again_takes_its_room_once_and_lives_as_long_as_the_last(cache: TokenCache) -> None:
    cache.put("a" * 60, principal(NOW + 1), NOW)
    cache.put("a" * 60, ALICE, NOW)
    cache.put("b" * 40, ALICE, NOW + 2)
    assert cache.get("a" * 60) is ALICE
    assert len(cache) == 2


def test_principals_are_forgotten_with_the_key_that_proved_them(cache: TokenCache) -> None:
    cache.put("a", principal(verified_by="gone"), NOW)
    cache.put("b", principal(verified_by="kept"), NOW)
    cache.forget(frozenset({"gone", "unknown"}))
    assert cache.get("a") is None
    assert cache.get("b") is not None


def test_expired_tokens_are_forgotten_with_the_key_that_made_them(cache: TokenCache) -> None:
    cache.expired.remember("a", NOW, "gone")
    cache.expired.remember("b", NOW, "kept")
    cache.forget(frozenset({"gone"}))
    assert len(cache.expired) == 1
    with pytest.raises(ExpiredToken):
        cache.expired.refuse("b", 0, NOW)


def test_expired_tokens_are_few_and_none_where_nothing_is_remembered() -> None:
    for max_entries, most in ((0, 0), (3, 3), (10_000, 1000)):
        cache = TokenCache(max_entries, max_bytes=100)
        for number in range(1100):
            cache.expired.remember(str(number), NOW, "key-1")
        assert len(cache.expired) == most


def test_tokens_that_left_early_do_not_pile_up() -> None:
    cache = TokenCache(max_entries=2, max_bytes=100)
    for number in range(1000):
        cache.put(str(number), ALICE, NOW)
    assert len(cache._expiries) <= 2 * 2 + 65


@settings(deadline=None)
@given(st.lists(st.tuples(st.text("ab", min_size=1, max_size=6), st.integers(0, 20), st.integers(0, 3))))
def test_the_bounds_hold_and_nothing_expired_stays_after_a_put(puts: list[tuple[str, int, int]]) -> None:
    cache = TokenCache(max_entries=5, max_bytes=16)
    now = 0
    for token, lifetime, step in puts:
        now += step
        cache.put(token, principal(now + lifetime + 1), now)
        assert cache.get(token) is not None
        assert len(cache) <= 5
        assert cache._bytes == sum(map(len, cache._entries)) <= 16
        assert all(entry.usable_until > now for entry in cache._entries.values())
