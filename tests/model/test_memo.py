from gateway.model.memo import Memo


def test_what_is_remembered_is_found() -> None:
    memo: Memo[int] = Memo()
    assert memo.remember(b"Host", 1) == 1
    assert memo.known.get(b"Host") == 1


def test_a_long_name_is_not_remembered() -> None:
    memo: Memo[int] = Memo()
    assert memo.remember(b"x" * 65, 1) == 1
    assert memo.remember(b"x" * 64, 2) == 2
    assert list(memo.known) == [b"x" * 64]


def test_a_full_memo_begins_anew_for_honest_names() -> None:
    memo: Memo[int] = Memo()
    for number in range(5000):
        memo.remember(b"junk-%d" % number, number)
    assert len(memo.known) <= 4096
    memo.remember(b"Host", 1)
    assert memo.known.get(b"Host") == 1
