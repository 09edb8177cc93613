import pytest

from gateway.model.errors import UnknownKey, WrongAlgorithm
from gateway.tokens.keys import ALGORITHMS, MAX_TRIED, Key, KeySet
from tests.minting import NOW


def key(kid: str | None, *algorithms: str, thumbprint: str = "t") -> Key:
    return Key(kid, "RSA", frozenset(algorithms), thumbprint, object())


RSA, OTHER, ED, UNNAMED = key("r", "RS256", "PS256"), key("o", "RS256"), key("e", "EdDSA"), key(None, "ES256")
KEYS = KeySet([RSA, OTHER, ED, UNNAMED])


def test_a_kid_selects_its_key() -> None:
    assert KEYS.lookup("r", "RS256", NOW) == (RSA,)
    assert KEYS.lookup("e", "EdDSA", NOW) == (ED,)


def test_a_key_without_kid_fits_any_kid() -> None:
    assert KEYS.lookup("whatever", "ES256", NOW) == (UNNAMED,)


def test_a_token_without_kid_may_be_signed_by_any_key_for_its_algorithm() -> None:
    assert KEYS.lookup(None, "RS256", NOW) == (RSA, OTHER)


def test_two_keys_may_share_a_kid() -> None:
    twin = key("r", "EdDSA")
    assert KeySet([RSA, twin]).lookup("r", "EdDSA", NOW) == (twin,)


def test_a_key_is_not_used_with_another_algorithm() -> None:
    """C34"""
    with pytest.raises(WrongAlgorithm):
        KEYS.lookup("e", "RS256", NOW)


@pytest.mark.parametrize("kid", ["../../etc/passwd", "' OR 1=1", "k" * 1024, "", "R"])
def test_an_unknown_kid_is_refused_whatever_it_looks_like(kid: str) -> None:
    """C35, C36"""
    with pytest.raises(UnknownKey) as caught:
        KEYS.lookup(kid, "RS256", NOW)
    assert str(caught.value) == "no key fits this kid and alg 'RS256'"


def test_the_same_is_found_again_and_names_made_up_by_clients_do_not_pile_up() -> None:
    keys = KeySet(KEYS.keys)
    for _ in range(2):
        assert keys.lookup("r", "RS256", NOW) == (RSA,)
        assert keys.lookup("r", "ES256", NOW) == (UNNAMED,)
        with pytest.raises(WrongAlgorithm):
            keys.lookup("r", "EdDSA", NOW)
    for number in range(1000):
        assert keys.lookup(str(number), "ES256", NOW) == (UNNAMED,)
    assert len(keys._chosen) == 2


def test_a_token_without_kid_that_fits_no_key_is_refused() -> None:
    with pytest.raises(UnknownKey):
        KEYS.lookup(None, "HS256", NOW)


def test_few_keys_are_tried_for_one_token() -> None:
    many = KeySet([key(None, "RS256") for _ in range(50)])
    assert len(many.lookup(None, "RS256", NOW)) == MAX_TRIED
    assert len(many.lookup("x", "RS256", NOW)) == MAX_TRIED


def test_a_set_knows_its_thumbprints() -> None:
    assert KeySet([key("a", thumbprint="1"), key("b", thumbprint="2")]).thumbprints == {"1", "2"}


def test_only_the_known_good_algorithms_exist() -> None:
    """C32"""
    expected = {f"{family}{bits}" for family in ("RS", "PS", "ES", "HS") for bits in (256, 384, 512)} | {"EdDSA"}
    assert set(ALGORITHMS) == expected


def test_a_key_does_not_show_its_material() -> None:
    assert "object" not in repr(RSA)
