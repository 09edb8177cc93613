from gateway.model.bounded import Bounded


def test_what_is_remembered_is_found() -> None:
    known: Bounded[str, int] = Bounded()
    assert known.remember("web", 1) == 1
    assert known.get("web") == 1


def test_a_long_key_is_not_remembered() -> None:
    known: Bounded[bytes, int] = Bounded()
    assert known.remember(b"x" * 1025, 1) == 1
    assert known.remember(b"x" * 1024, 2) == 2
    assert list(known) == [b"x" * 1024]


def test_a_full_one_begins_anew_for_new_keys() -> None:
    known: Bounded[str, int] = Bounded()
    for number in range(5000):
        known.remember(str(number), number)
        assert known[str(number)] == number
        assert len(known) <= 1024
