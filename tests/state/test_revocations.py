from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model.principal import Principal
from gateway.model.revocation import FOREVER, Level, Revocation, generation_mark, mark, session_mark
from gateway.state.revocations import RevocationView
from gateway.state.settled import BUCKETS

NOW = 1_800_000_000
ISSUER, OTHER = "https://issuer.example", "https://other.example"
LEVELS = {
    Level.EVERYTHING: mark(Level.EVERYTHING, ISSUER, ""),
    Level.ISSUER: mark(Level.ISSUER, ISSUER, ""),
    Level.CLIENT: mark(Level.CLIENT, ISSUER, "app"),
    Level.SUBJECT: mark(Level.SUBJECT, ISSUER, "ann"),
    Level.SESSION: session_mark("AAAAAAAAAAAAAAAAAAAAAA"),
    Level.TOKEN: mark(Level.TOKEN, ISSUER, "jti"),
}


class Clocks:
    """This process's clock and its monotonic clock, which a test moves together."""

    def __init__(self) -> None:
        self.unix, self.running = float(NOW), 50.0

    def go_on(self, seconds: float) -> None:
        self.unix += seconds
        self.running += seconds


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def view(clocks: Clocks) -> RevocationView:
    return a_view(clocks)


def a_view(clocks: Clocks, recent: int = 3) -> RevocationView:
    return RevocationView(lambda: clocks.running, lambda: clocks.unix, recent=recent)


def a_principal(*marks: tuple[bytes, int]) -> Principal:
    return Principal(
        subject="ann",
        issuer=ISSUER,
        type="user",
        claims={},
        scopes=frozenset(),
        issued_at=NOW,
        expires_at=NOW + 600,
        usable_until=NOW + 605,
        token_id="jti",
        client_id="app",
        authenticator="own",
        verified_by="key",
        marks=marks,
    )


def of(mark: bytes, before: int = FOREVER, until: int = NOW + 600, since_ms: int = 0) -> Revocation:
    return Revocation(Level.TOKEN, mark, before, until, NOW * 1000, since_ms)


A, B = bytes(16), bytes(15) + b"\1"


# --- what is void


@pytest.mark.parametrize("levels", list(product([None, NOW - 10, NOW + 10], repeat=4)))
@pytest.mark.parametrize("void", [frozenset(), {Level.SESSION}, {Level.TOKEN}, {Level.SESSION, Level.TOKEN}])
def test_the_greatest_number_of_all_levels_counts(
    levels: tuple[int | None, ...], void: frozenset[Level], clocks: Clocks
) -> None:
    """C183"""
    cut_offs = {level: before for level, before in zip(LEVELS, levels, strict=False) if before is not None}
    cut_offs |= dict.fromkeys(void, FOREVER)
    view = a_view(clocks)
    view.add(Revocation(level, LEVELS[level], before, NOW + 600, 0) for level, before in cut_offs.items())
    for issued_at in (-1, NOW - 11, NOW - 10, NOW, NOW + 9, NOW + 10):
        principal = a_principal(*((each, issued_at) for each in LEVELS.values()))
        assert view.is_revoked(principal) == (issued_at < max(cut_offs.values(), default=-1))


@pytest.mark.parametrize("level", [Level.ISSUER, Level.CLIENT, Level.SUBJECT, Level.TOKEN])
def test_an_issuer_cannot_revoke_what_another_issued(level: Level, view: RevocationView) -> None:
    view.add([of(mark(level, OTHER, name)) for name in ("app", "ann", "jti", "")])
    assert not view.is_revoked(a_principal(*((each, NOW) for each in LEVELS.values())))


def test_everything_is_everything_of_every_issuer(view: RevocationView) -> None:
    view.add([of(mark(Level.EVERYTHING, OTHER, "whatever"), NOW + 1)])
    assert view.is_revoked(a_principal((LEVELS[Level.EVERYTHING], NOW)))
    assert not view.is_revoked(a_principal((LEVELS[Level.EVERYTHING], NOW + 1)))


@pytest.mark.parametrize("issued_at", [-1, 0, NOW, FOREVER, 10**13])
def test_forever_is_beyond_any_time_that_an_issuer_may_claim(issued_at: int, view: RevocationView) -> None:
    view.add([of(A)])
    assert view.is_revoked(a_principal((A, issued_at)))


def test_a_generation_makes_older_ones_void(view: RevocationView) -> None:
    name = generation_mark("AAAAAAAAAAAAAAAAAAAAAA")
    view.add([replace(of(name, 3), level=Level.GENERATION)])
    assert [view.is_revoked(a_principal((name, generation))) for generation in (1, 2, 3, 4)] == [True, True] + 2 * [
        False
    ]


@pytest.mark.parametrize("number", [-5, 2**40])
def test_numbers_out_of_range_are_taken_for_the_nearest(number: int, view: RevocationView) -> None:
    view.add([of(A, number, 2**40)])
    assert view.before(A) == min(max(number, 0), FOREVER)


def test_a_principal_without_marks_is_never_revoked(view: RevocationView) -> None:
    view.add([of(A)])
    assert not view.is_revoked(a_principal())


# --- laws

MARKS = st.sampled_from([bytes([number]) + bytes(15) for number in range(6)])
REVOCATIONS = st.builds(
    lambda mark, before, until, since: of(mark, before, NOW + until, (NOW + since) * 1000 if since else 0),
    MARKS,
    st.integers(0, 5),
    st.integers(0, 20),
    st.integers(0, 12),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(st.tuples(REVOCATIONS, st.booleans()), max_size=4)),
        st.tuples(st.just("go on"), st.integers(0, 5)),
        st.tuples(st.just("prune"), st.none()),
    ),
    max_size=20,
)


@settings(deadline=None)
@given(STEPS, st.integers(1, 4))
def test_the_view_says_what_a_plain_list_of_all_revocations_says(steps: list[tuple[str, object]], recent: int) -> None:
    """At any time, for principals that were asked about before and for new ones, with pruning going on."""
    clocks = Clocks()
    view, told = a_view(clocks, recent), list[Revocation]()
    marks = [bytes([number]) + bytes(15) for number in range(6)]
    kept = [
        a_principal((first, ordinal), (second, 3)) for first in marks[:3] for second in marks[3:] for ordinal in (1, 2)
    ]
    for verb, what in steps:
        if verb == "add":
            assert isinstance(what, list)
            for revocation, confirmed in what:
                told += [revocation] if revocation.until >= int(clocks.unix) else []
                view.add([revocation], confirmed=confirmed)
        elif verb == "go on":
            assert isinstance(what, int)
            clocks.go_on(what)
        else:
            for _ in range(BUCKETS // 16):
                view.prune()
        now = clocks.unix
        in_force = [each for each in told if each.since_ms <= now * 1000 and each.until >= now]
        for asked in [*kept, *(a_principal(*each.marks) for each in kept)]:
            is_void = any(
                each.mark == mark and each.before > ordinal for each in in_force for mark, ordinal in asked.marks
            )
            # What has ended may go on counting until it is swept: no such token could be valid any more.
            ended = [each for each in told if each.since_ms <= now * 1000 and each.until < now]
            may_be_void = any(
                each.mark == mark and each.before > ordinal for each in ended for mark, ordinal in asked.marks
            )
            if is_void or not may_be_void:
                assert view.is_revoked(asked) == is_void


@settings(deadline=None)
@given(
    st.lists(REVOCATIONS, max_size=12).flatmap(lambda all_: st.tuples(st.just(all_), st.permutations(all_ + all_[:4])))
)
def test_order_and_repetition_change_nothing(orders: tuple[list[Revocation], list[Revocation]]) -> None:
    clocks = Clocks()
    views = [a_view(clocks), a_view(clocks)]
    for view, revocations in zip(views, orders, strict=True):
        for revocation in revocations:
            view.add([revocation], confirmed=False)
    for _ in range(4):
        clocks.go_on(4)
        numbers = [[view.before(each.mark) for each in orders[0]] for view in views]
        assert numbers[0] == numbers[1]
        assert {*views[0].unconfirmed()} == {*views[1].unconfirmed()}


@settings(deadline=None)
@given(st.lists(REVOCATIONS, max_size=12))
def test_repeating_what_is_known_does_not_raise_the_version(revocations: list[Revocation]) -> None:
    clocks = Clocks()
    view = a_view(clocks)
    view.add(revocations)
    for _ in range(3):
        version, length = view.version, len(view)
        assert all(view.knows(each) for each in revocations if each.until >= clocks.unix)
        view.add(revocations)
        assert (view.version, len(view)) == (version, length)
        clocks.go_on(6)


# --- the memo


def test_a_principal_found_good_is_void_at_once_when_it_is_revoked(view: RevocationView) -> None:
    principal = a_principal((A, NOW), (B, NOW))
    assert not view.is_revoked(principal)
    assert not view.is_revoked(principal)
    view.add([of(B, NOW + 1)])
    assert view.is_revoked(principal)
    assert view.is_revoked(principal)


def test_a_principal_found_good_is_void_when_it_is_revoked_among_many_others(view: RevocationView) -> None:
    principal = a_principal((A, NOW))
    assert not view.is_revoked(principal)
    view.add([of(A), *(of(bytes([number]) * 16) for number in range(1, 20))])
    assert view.is_revoked(principal)


def test_while_nothing_changes_nothing_is_looked_up(view: RevocationView) -> None:
    principal = a_principal((A, NOW))
    assert not view.is_revoked(principal)
    assert principal.cleared_at == [view.version]
    view.add([of(B)])
    assert not view.is_revoked(principal)
    assert principal.cleared_at == [view.version]


# --- what takes effect later


def test_a_revocation_takes_effect_when_its_time_has_come_at_the_store(view: RevocationView, clocks: Clocks) -> None:
    view.refreshed((NOW + 1000) * 1000, clocks.running)  # the store is ahead of this process
    principal, version = a_principal((A, 1)), view.version
    view.add([of(A, 2, NOW + 2000, since_ms=(NOW + 1010) * 1000)])
    assert len(view) == 1
    assert (view.before(A), view.version) == (0, version)
    clocks.go_on(9.9)
    assert not view.is_revoked(principal)
    assert view.version == version
    clocks.go_on(0.1)
    assert view.is_revoked(principal)
    assert view.version == version + 1
    assert len(view) == 1


def test_nobody_needs_to_ask_for_it(view: RevocationView, clocks: Clocks) -> None:
    view.add([of(A, 2, since_ms=(NOW + 10) * 1000), of(B, 2, since_ms=(NOW + 20) * 1000)])
    clocks.go_on(10)
    assert view.version == 1
    assert (view.before(A), view.before(B)) == (2, 0)
    clocks.go_on(10)
    assert (view.before(A), view.before(B)) == (2, 2)


def test_what_waits_and_comes_again_with_a_later_end_ends_later(view: RevocationView, clocks: Clocks) -> None:
    since_ms = (NOW + 10) * 1000
    view.add([of(A, 2, NOW + 50, since_ms), of(A, 2, NOW + 90, since_ms), of(A, 2, NOW + 60, since_ms)])
    assert len(view) == 1
    clocks.go_on(60)
    all_pruned(view)
    assert view.before(A) == 2
    clocks.go_on(31)
    all_pruned(view)
    assert view.before(A) == 0


# --- pruning


def all_pruned(view: RevocationView) -> None:
    for _ in range(BUCKETS // 16):
        view.prune()


def test_what_has_ended_is_forgotten(view: RevocationView, clocks: Clocks) -> None:
    view.add([of(A, until=NOW + 10), of(B, until=NOW + 20)])
    clocks.go_on(11)
    all_pruned(view)
    assert (len(view), view.before(A), view.before(B)) == (1, 0, FOREVER)


@pytest.mark.parametrize("ahead", [-3600, 3600])
def test_nothing_is_forgotten_before_both_clocks_say_that_it_has_ended(
    ahead: int, view: RevocationView, clocks: Clocks
) -> None:
    """By this process's clock tokens expire; a store whose clock jumps must not bring revoked ones back."""
    view.add([of(A, until=NOW + 10)])
    view.refreshed((NOW + ahead) * 1000, clocks.running)
    view.add([of(B, until=NOW + 10)])
    all_pruned(view)
    assert len(view) == 2


def test_what_has_ended_already_is_not_added(view: RevocationView) -> None:
    view.add([of(A, until=NOW - 1)])
    assert (len(view), view.version) == (0, 0)


# --- what the store has


def test_what_was_added_unconfirmed_is_unconfirmed_until_it_is_added_confirmed(view: RevocationView) -> None:
    later = of(B, 2, since_ms=(NOW + 10) * 1000)
    view.add([of(A), later], confirmed=False)
    assert view.has_unconfirmed()
    assert {*view.unconfirmed()} == {of(A), later}
    view.add([of(A)])
    assert [*view.unconfirmed()] == [later]
    assert view.has_unconfirmed()
    view.add([later])
    assert not view.has_unconfirmed()
    view.add([of(A), later], confirmed=False)
    assert not view.has_unconfirmed()


def test_a_lesser_revocation_of_the_same_mark_confirms_nothing(view: RevocationView) -> None:
    view.add([of(A, 5, NOW + 500)], confirmed=False)
    view.add([of(A, 4, NOW + 600)])
    view.add([of(A, 6, NOW + 400)])
    assert [*view.unconfirmed()] == [of(A, 6, NOW + 600)]


def test_after_a_doubt_everything_is_unconfirmed_but_what_is_added_then(view: RevocationView, clocks: Clocks) -> None:
    later = of(B, 2, since_ms=(NOW + 10) * 1000)
    view.add([of(A), of(bytes(14) + b"aa"), later])
    view.doubt()
    view.add([of(A)])
    assert {*view.unconfirmed()} == {of(bytes(14) + b"aa"), later}
    clocks.go_on(10)
    assert view.version == 3
    assert {each.mark for each in view.unconfirmed()} == {bytes(14) + b"aa", B}


def test_what_has_ended_is_not_worth_giving_back(view: RevocationView, clocks: Clocks) -> None:
    view.add([of(A, until=NOW + 10), of(B, until=NOW + 20)], confirmed=False)
    clocks.go_on(15)
    assert [each.mark for each in view.unconfirmed()] == [B]


def test_a_greater_number_is_news(view: RevocationView) -> None:
    view.add([of(A, 5), of(B, 5, since_ms=(NOW + 10) * 1000)])
    assert view.knows(of(A, 4))
    assert not view.knows(of(A, 6))
    assert not view.knows(of(B, 5, NOW + 700, since_ms=(NOW + 10) * 1000))
    assert not view.knows(of(B, 5))


# --- staleness


def test_the_view_is_infinitely_stale_before_the_first_reading(view: RevocationView, clocks: Clocks) -> None:
    view.add([of(A)])
    assert view.staleness() == float("inf")
    view.refreshed(NOW * 1000, clocks.running)
    assert view.staleness() == 0


def test_staleness_grows_until_news_are_proven_current(view: RevocationView, clocks: Clocks) -> None:
    view.refreshed(NOW * 1000, clocks.running - 0.5)
    assert view.staleness() == 0.5
    clocks.go_on(3)
    assert view.staleness() == 3.5
    view.refreshed((NOW + 3) * 1000, clocks.running - 20)  # an old copy answers
    assert view.staleness() == 3.5
    view.refreshed((NOW + 3) * 1000, clocks.running + 1)
    assert view.staleness() == 0
