from gateway.mechanisms.logins.remembered import Leaks, Recent


def test_what_was_not_used_for_longest_is_forgotten_first() -> None:
    recent: Recent[int] = Recent(2)
    recent.put(b"a", 1)
    recent.put(b"b", 2)
    assert recent.get(b"a") == 1
    recent.put(b"c", 3)
    assert [recent.get(key) for key in (b"a", b"b", b"c")] == [1, None, 3]


def test_what_has_leaked_away_takes_no_room() -> None:
    leaks = Leaks(10, 1, 5)
    leaks.add(b"a", 1, 0)
    assert leaks.level(b"a", 0.5) == 0.5
    leaks.add(b"a", -1, 0.5)
    assert len(leaks) == 0
    leaks.add(b"a", 9, 1)
    assert leaks.level(b"a", 1) == 5
