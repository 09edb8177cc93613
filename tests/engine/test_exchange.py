from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.engine.exchange import access_lifetime, acknowledged, ended, exchange, is_usable, reached_limit, renewed
from gateway.engine.outcomes import (
    AccessMismatch,
    AccessMissing,
    Ended,
    Expired,
    NeverIssued,
    OtherClient,
    Outcome,
    PresentedAccess,
    Repeated,
    Reused,
    Rotated,
    ScopeExceeded,
    StillValid,
    refusal_of,
)
from gateway.engine.session_rules import SessionRules
from gateway.model.session import THEFT, EndReason, Session
from tests.engine.session_examples import SID, T0, presented, rules, session

DEFAULT = rules()


def tried(record: Session, generation: int, at: float, by: SessionRules = DEFAULT, **changes: Any) -> Outcome:
    """Present a generation `at` seconds after the session began."""
    return exchange(record, presented(generation, **changes), round((T0 + at) * 1000), by)


def rotated(record: Session, at: float, by: SessionRules = DEFAULT, **changes: Any) -> Session:
    outcome = tried(record, record.generation, at, by, **changes)
    assert isinstance(outcome, Rotated)
    return outcome.session._replace(version=record.version + 1)


# --- rotation


def test_an_exchange_replaces_both_tokens() -> None:
    """C73"""
    after = rotated(session(acknowledged=True), 700)
    assert (after.generation, after.rotated_at_ms, after.acknowledged) == (2, (T0 + 700) * 1000, False)
    assert (after.access_issued_at, after.access_expires_at) == (T0 + 700, T0 + 1300)
    assert (after.last_used_at, after.idle_expires_at) == (T0 + 700, T0 + 700 + 7 * 86400)


def test_no_access_token_is_issued_before_the_one_that_it_follows() -> None:
    """Else a login in the second of "log out everywhere" would be void after its first exchange."""
    after = rotated(session(access_issued_at=T0 + 1, created_at=T0 + 1), 0.5)
    assert after.access_issued_at == T0 + 1


def test_a_new_pair_is_made_with_the_keys_of_the_day() -> None:
    after = rotated(session(), 700, refresh_kid=2, signing_kid="k2")
    assert (after.refresh_kid, after.signing_kid) == (2, "k2")


def test_the_grant_stays_what_it_was_and_the_absolute_end_where_it_was() -> None:
    """C177"""
    before = session(claims={"role": "admin"})
    after = rotated(before, 700)
    kept = ("sid", "subject", "client_id", "scope", "salt", "claims", "absolute_expires_at", "created_at")
    assert [getattr(after, name) for name in kept] == [getattr(before, name) for name in kept]


def test_a_narrower_scope_holds_for_the_access_token_only() -> None:
    """C93"""
    narrow = rotated(session(), 700, scope="orders:read  orders:read")
    assert (narrow.access_scope, narrow.scope) == ("orders:read", "orders:read orders:write")
    assert rotated(narrow, 1400).access_scope == "orders:read orders:write"


@pytest.mark.parametrize("scope", ["admin", "orders:read admin"])
def test_more_scope_than_was_granted_is_refused(scope: str) -> None:
    """C94"""
    assert tried(session(), 1, 700, scope=scope) == ScopeExceeded()


def test_nothing_outlives_the_absolute_end() -> None:
    """C84"""
    near = session(absolute_expires_at=T0 + 1000)
    after = rotated(near, 990.5)
    assert (after.access_expires_at, after.absolute_expires_at, after.expires_at) == (T0 + 1000, T0 + 1000, T0 + 1000)
    assert tried(after, 2, 1000) == Expired("absolute")


def test_an_access_token_never_ends_before_the_one_it_replaces() -> None:
    """Else who ends the session would not know how long its tokens can be good."""
    shorter = rules(access={"lifetime": 60})
    assert rotated(session(), 100, shorter).access_expires_at == T0 + 600
    assert rotated(session(), 700, shorter).access_expires_at == T0 + 760


@pytest.mark.parametrize(
    ("refresh", "end"),
    [
        ({}, 700 + 7 * 86400),
        ({"idle": 3600}, 700 + 3600),
        ({"sliding": False}, 7 * 86400),
        ({"idle": None}, 7 * 86400),
    ],
)
def test_the_idle_limit_slides_if_it_is_told_to(refresh: dict[str, Any], end: int) -> None:
    assert rotated(session(), 700, rules(refresh=refresh)).idle_expires_at == T0 + end


# --- windows


def test_the_predecessor_gets_the_same_pair_within_the_concurrency_window() -> None:
    """C74"""
    after = rotated(session(), 700)._replace(acknowledged=True)
    assert tried(after, 1, 710) == Repeated(after, 10_000, is_recovery=False, is_changed=False)


def test_key_rotation_in_between_changes_nothing() -> None:
    """C76"""
    after = rotated(session(), 700)
    assert tried(after, 1, 705, refresh_kid=2, signing_kid="k2") == Repeated(after, 5_000, False, False)


def test_the_windows_are_fixed_at_the_rotation() -> None:
    """C80"""
    after = rotated(session(), 700)._replace(acknowledged=True)
    outcomes = [tried(after, 1, 700 + age) for age in range(0, 60, 5)]
    assert [type(outcome) for outcome in outcomes] == [Repeated] * 3 + [Reused] * 9


def test_a_lost_answer_is_repeated_while_the_pair_was_never_seen_in_use() -> None:
    """C76"""
    after = rotated(session(), 700)
    assert tried(after, 1, 800) == Repeated(after, 100_000, is_recovery=True, is_changed=False)
    assert isinstance(tried(after, 1, 700 + 3600), Repeated)
    assert isinstance(tried(after, 1, 700 + 3600.001), Reused)


def test_a_repeated_access_token_that_ran_out_is_renewed_once() -> None:
    """C76: same generation, and a further retry repeats exactly that one."""
    after = rotated(session(), 700)
    first = tried(after, 1, 2500)
    assert isinstance(first, Repeated)
    assert first.is_changed
    assert (first.session.generation, first.session.rotated_at_ms) == (2, after.rotated_at_ms)
    assert (first.session.access_issued_at, first.session.access_expires_at) == (T0 + 2500, T0 + 3100)
    assert tried(first.session, 1, 2600) == Repeated(first.session, 1_900_000, True, is_changed=False)


def test_a_repeated_access_token_is_renewed_just_before_its_end() -> None:
    after = rotated(session(), 700)
    assert [tried(after, 1, at).is_changed for at in (1294.9, 1295)] == [False, True]  # type: ignore[union-attr]


def test_an_access_token_that_ends_with_the_session_is_repeated_as_it_is() -> None:
    after = rotated(session(absolute_expires_at=T0 + 750), 740)
    assert tried(after, 1, 749) == Repeated(after, 9_000, is_recovery=False, is_changed=False)


def test_a_predecessor_after_the_windows_ends_the_session() -> None:
    """C77"""
    after = rotated(session(), 700)._replace(acknowledged=True)
    outcome = tried(after, 1, 711)
    assert isinstance(outcome, Reused)
    assert outcome.distance == 1
    assert outcome.session.ended is not None
    assert (outcome.session.ended.reason, outcome.session.ended.at_ms) == (EndReason.REUSE, (T0 + 711) * 1000)


@pytest.mark.parametrize("at", [1401, 1405, 5000])
def test_anything_older_ends_the_session_at_any_time(at: float) -> None:
    """C78"""
    twice = rotated(rotated(session(), 700), 1400)
    outcome = tried(twice, 1, at)
    assert isinstance(outcome, Reused)
    assert outcome.distance == 2


def test_an_ended_session_gives_nothing_to_the_live_token_either() -> None:
    """C79"""
    outcome = tried(rotated(rotated(session(), 700), 1400), 1, 1500)
    assert isinstance(outcome, Reused)
    assert tried(outcome.session, 3, 1501) == Ended(EndReason.REUSE)


@pytest.mark.parametrize("generation", [1, 2, 3, 9])
def test_a_logged_out_token_raises_no_alarm(generation: int) -> None:
    """C81"""
    over = ended(rotated(rotated(session(), 700), 1400), EndReason.LOGOUT, (T0 + 1500) * 1000)
    assert tried(over, generation, 9999) == Ended(EndReason.LOGOUT)


def test_single_use_means_single_use() -> None:
    strict = rules(exchange={"concurrency_window": 0, "recovery_window": 0})
    after = rotated(session(), 700, strict)
    assert isinstance(tried(after, 1, 700, strict), Reused)


def test_without_a_recovery_window_the_grace_is_the_classic_one() -> None:
    classic = rules(exchange={"recovery_window": 0})
    after = rotated(session(), 700, classic)
    assert isinstance(tried(after, 1, 710, classic), Repeated)
    assert isinstance(tried(after, 1, 711, classic), Reused)


def test_a_clock_that_stepped_back_neither_shortens_nor_breaks_anything() -> None:
    after = rotated(session(), 700)
    assert tried(after, 1, 100) == Repeated(after, 0, is_recovery=False, is_changed=False)
    again = rotated(after, 100)
    assert (again.rotated_at_ms, again.access_issued_at) == (after.rotated_at_ms, after.access_issued_at)


# --- who presents, and when


@pytest.mark.parametrize("client_id", ["svc", None])
@pytest.mark.parametrize("generation", [1, 2, 3, 99])
def test_another_client_changes_nothing(client_id: str | None, generation: int) -> None:
    """C95"""
    twice = rotated(rotated(session(), 700), 1400)
    assert tried(twice, generation, 9999, client_id=client_id) == OtherClient()


@pytest.mark.parametrize(
    ("changes", "limit"),
    [({"idle_expires_at": T0 + 900}, "idle"), ({"absolute_expires_at": T0 + 900}, "absolute")],
)
def test_a_session_ends_at_its_limits(changes: dict[str, Any], limit: str) -> None:
    """C83, C176"""
    assert tried(session(**changes), 1, 900) == Expired(limit)
    assert isinstance(tried(session(**changes), 1, 899.999), Rotated)


@pytest.mark.parametrize("missing", ["idle_expires_at", "absolute_expires_at"])
def test_a_session_may_have_only_one_limit(missing: str) -> None:
    assert reached_limit(session(**{missing: None}), T0 * 1000) is None
    assert isinstance(tried(session(**{missing: None}), 1, 700), Rotated)


def test_an_old_token_of_an_expired_session_raises_no_alarm() -> None:
    twice = rotated(rotated(session(), 700), 1400)
    assert tried(twice, 1, 1400 + 7 * 86400) == Expired("idle")


# --- early


@pytest.mark.parametrize(("at", "retry_after"), [(0, 540), (100.5, 440), (539.999, 1)])
def test_an_early_exchange_can_be_refused(at: float, retry_after: int) -> None:
    """C104"""
    assert tried(session(), 1, at, rules(exchange={"early": "reject"})) == StillValid(retry_after)


def test_an_early_exchange_can_be_taken_for_theft() -> None:
    """C105"""
    outcome = tried(session(), 1, 0, rules(exchange={"early": "theft"}))
    assert isinstance(outcome, Reused)
    assert outcome.session.ended is not None
    assert (outcome.session.ended.reason, outcome.distance) == (EndReason.EARLY_EXCHANGE, 0)


@pytest.mark.parametrize("early", ["reject", "theft"])
def test_within_the_slack_nothing_is_early(early: str) -> None:
    """C106"""
    assert isinstance(tried(session(), 1, 540, rules(exchange={"early": early})), Rotated)
    assert isinstance(tried(session(), 1, 0), Rotated)


@pytest.mark.parametrize("early", ["reject", "theft"])
def test_a_retry_after_a_lost_answer_is_not_early(early: str) -> None:
    by = rules(exchange={"early": early})
    after = rotated(session(), 600, by)
    assert tried(after, 1, 700, by) == Repeated(after, 100_000, is_recovery=True, is_changed=False)


def test_the_slack_is_at_most_half_of_a_short_lifetime() -> None:
    """Else an access token of 20 seconds would never count as good."""
    by = rules(access={"lifetime": 20}, exchange={"early": "theft"})
    short = session(access_lifetime=20)
    assert isinstance(tried(short, 1, 9.9, by), Reused)
    assert isinstance(tried(short, 1, 10, by), Rotated)


# --- the access token beside it

PRESENT = rules(exchange={"access_token": "present"})
BOUND = rules(exchange={"access_token": "bound"})


@pytest.mark.parametrize("by", [PRESENT, BOUND])
def test_the_access_token_can_be_demanded(by: SessionRules) -> None:
    """C107, C108"""
    assert tried(session(), 1, 700, by) == AccessMissing()
    assert isinstance(tried(session(), 1, 700, by, access=PresentedAccess(SID, 1)), Rotated)


@pytest.mark.parametrize("by", [PRESENT, BOUND])
@pytest.mark.parametrize("sid", ["", "AQABAgMEBQYHCAkKCwwNDg"])
def test_one_of_another_session_or_a_forged_one_changes_nothing(by: SessionRules, sid: str) -> None:
    """C109, C110"""
    assert tried(session(), 1, 700, by, access=PresentedAccess(sid, 1)) == AccessMismatch()


def test_the_same_session_is_enough_where_the_pair_is_not_asked_for() -> None:
    after = rotated(session(), 700)
    assert isinstance(tried(after, 2, 1400, PRESENT, access=PresentedAccess(SID, 1)), Rotated)


def test_an_older_access_token_than_its_own_is_theft() -> None:
    """C109"""
    outcome = tried(rotated(session(), 700), 2, 1400, BOUND, access=PresentedAccess(SID, 1))
    assert isinstance(outcome, Reused)
    assert outcome.session.ended is not None
    assert (outcome.session.ended.reason, outcome.distance) == (EndReason.PAIR_MISMATCH, 0)


def test_a_newer_access_token_than_its_own_changes_nothing() -> None:
    """A tab that read the refresh token just before another one stored the new pair."""
    assert tried(rotated(session(), 700), 1, 705, BOUND, access=PresentedAccess(SID, 2)) == AccessMismatch()


@pytest.mark.parametrize("access", [None, PresentedAccess("", 0), PresentedAccess(SID, 3), PresentedAccess(SID, 1)])
def test_an_old_refresh_token_ends_the_session_whatever_comes_beside_it(access: PresentedAccess | None) -> None:
    twice = rotated(rotated(session(), 700), 1400)
    assert isinstance(tried(twice, 1, 1500, BOUND, access=access), Reused)


def test_a_retry_comes_with_the_pair_that_was_replaced() -> None:
    after = rotated(session(), 700)
    assert isinstance(tried(after, 1, 800, BOUND, access=PresentedAccess(SID, 1)), Repeated)


# --- lost writes


def test_rotations_that_the_store_lost_are_healed() -> None:
    """C103"""
    outcome = tried(session(acknowledged=True), 3, 2000)
    assert isinstance(outcome, Rotated)
    assert (outcome.session.generation, outcome.healed, outcome.session.acknowledged) == (4, 2, False)


def test_no_failover_explains_a_generation_far_ahead() -> None:
    assert tried(session(), 4, 2000) == NeverIssued()
    assert tried(session(), 2, 2000, rules(exchange={"heal_limit": 0})) == NeverIssued()


@pytest.mark.parametrize("early", ["reject", "theft"])
def test_healing_does_not_judge_by_an_access_token_that_the_client_has_not(early: str) -> None:
    """The clock of the new primary may be behind, too."""
    assert isinstance(tried(session(), 2, 100, rules(exchange={"early": early})), Rotated)


def test_a_thief_who_heals_is_found_out_all_the_same() -> None:
    """The store fell back to 4; the thief has 5, the victim 7."""
    lost = session(generation=4)
    by_thief = rotated(lost._replace(generation=5), 700)
    healed = tried(by_thief, 7, 1400)
    assert isinstance(healed, Rotated)
    assert (healed.session.generation, healed.healed) == (8, 1)
    assert isinstance(tried(healed.session, 6, 1401), Reused)


# --- without rotation

IN_PLACE = rules(refresh={"rotate": False})


def test_without_rotation_the_refresh_token_stays() -> None:
    after = rotated(session(), 700, IN_PLACE)
    assert (after.generation, after.access_issued_at, after.rotated_at_ms) == (1, T0 + 700, (T0 + 700) * 1000)
    assert rotated(after, 1400, IN_PLACE).access_issued_at == T0 + 1400


def test_without_rotation_parallel_exchanges_get_the_same_access_token() -> None:
    after = rotated(session(), 700, IN_PLACE)
    assert tried(after, 1, 705, IN_PLACE) == Repeated(after, 5_000, is_recovery=False, is_changed=False)


def test_without_rotation_a_used_access_token_is_replaced_after_the_window() -> None:
    after = rotated(session(), 700, IN_PLACE)._replace(acknowledged=True)
    assert isinstance(tried(after, 1, 711, IN_PLACE), Rotated)


def test_without_rotation_another_scope_is_another_access_token() -> None:
    after = rotated(session(), 700, IN_PLACE)
    narrow = rotated(after, 701, IN_PLACE, scope="orders:read")
    assert narrow.access_scope == "orders:read"


def test_without_rotation_the_idle_limit_moves_even_if_nothing_is_ever_seen_in_use() -> None:
    """The access token may be used where the gateway does not see it."""
    by = rules(refresh={"rotate": False, "idle": 1800}, access={"lifetime": 600})
    record = session(idle_expires_at=T0 + 1800)
    for at in range(595, 6000, 595):
        record = rotated(record, at, by)
    assert record.idle_expires_at is not None
    assert record.idle_expires_at > T0 + 6000


@pytest.mark.parametrize("early", ["reject", "theft"])
def test_without_rotation_a_retry_after_a_lost_answer_is_not_early(early: str) -> None:
    by = rules(refresh={"rotate": False}, exchange={"early": early})
    after = rotated(session(), 600, by)
    assert tried(after, 1, 700, by) == Repeated(after, 100_000, is_recovery=True, is_changed=False)
    seen = after._replace(acknowledged=True)
    assert isinstance(tried(seen, 1, 711, by), StillValid if early == "reject" else Reused)


def test_without_rotation_an_exchange_right_after_the_login_is_early() -> None:
    """C105"""
    by = rules(refresh={"rotate": False}, exchange={"early": "theft"})
    assert isinstance(tried(session(), 1, 1.5, by), Reused)


# --- first use, renewal, looking


def test_the_first_use_of_the_present_access_token_is_noted_once() -> None:
    record = session(generation=2)
    known = acknowledged(record, 2)
    assert known == record._replace(acknowledged=True)
    assert acknowledged(known, 2) is None
    assert acknowledged(record, 1) is None
    assert acknowledged(record, 3) is None
    assert acknowledged(ended(record, EndReason.LOGOUT, 0), 2) is None


def test_an_access_token_that_nears_its_end_is_renewed() -> None:
    """C115"""
    fresh = renewed(session(), 1, (T0 + 540) * 1000, DEFAULT)
    assert fresh is not None
    assert (fresh.generation, fresh.access_expires_at, fresh.last_used_at) == (1, T0 + 1140, T0 + 540)
    assert fresh.idle_expires_at == T0 + 540 + 7 * 86400


def test_a_renewal_that_another_request_has_made_is_shared() -> None:
    record = session()
    assert renewed(record, 1, (T0 + 479) * 1000, DEFAULT) is record
    fresh = renewed(record, 1, (T0 + 480) * 1000, DEFAULT)
    assert fresh is not None
    assert renewed(fresh, 1, (T0 + 481) * 1000, DEFAULT) is fresh


@pytest.mark.parametrize("limit", ["idle_expires_at", "absolute_expires_at"])
def test_a_renewal_is_bounded_by_the_session(limit: str) -> None:
    """C115"""
    fixed = rules(refresh={"sliding": False})
    fresh = renewed(session(**{limit: T0 + 700}), 1, (T0 + 540) * 1000, fixed)
    assert fresh is not None
    assert fresh.access_expires_at == T0 + 700
    assert renewed(session(**{limit: T0 + 600}), 1, (T0 + 540) * 1000, fixed) is None


@pytest.mark.parametrize(
    ("changes", "generation"), [({}, 2), ({"generation": 2}, 1), ({"idle_expires_at": T0 + 500}, 1)]
)
def test_nothing_is_renewed_for_another_generation_or_beyond_the_end(changes: dict[str, Any], generation: int) -> None:
    assert renewed(session(**changes), generation, (T0 + 540) * 1000, DEFAULT) is None


def test_nothing_is_renewed_for_a_session_that_is_over() -> None:
    assert renewed(ended(session(), EndReason.LOGOUT, 0), 1, (T0 + 540) * 1000, DEFAULT) is None


def test_a_refresh_token_can_be_looked_at_without_being_exchanged() -> None:
    after = rotated(session(), 700)._replace(acknowledged=True)
    now_ms = (T0 + 705) * 1000
    assert [is_usable(after, generation, now_ms, DEFAULT) for generation in range(6)] == [False, *[True] * 4, False]
    assert not is_usable(after, 1, now_ms + 6000, DEFAULT)
    assert not is_usable(ended(after, EndReason.LOGOUT, 0), 2, now_ms, DEFAULT)
    assert not is_usable(after, 2, (T0 + 40 * 86400) * 1000, DEFAULT)


@given(
    generation=st.integers(0, 8),
    at=st.floats(0, 5000),
    acknowledged=st.booleans(),
    by=st.sampled_from([DEFAULT, IN_PLACE, rules(exchange={"concurrency_window": 0, "recovery_window": 0})]),
)
def test_what_looks_usable_is_taken(generation: int, at: float, acknowledged: bool, by: SessionRules) -> None:
    record = session(generation=4, rotated_at_ms=(T0 + 700) * 1000, acknowledged=acknowledged)
    is_taken = isinstance(tried(record, generation, at, by), Rotated | Repeated)
    assert is_taken == is_usable(record, generation, round((T0 + at) * 1000), by)


def test_the_first_reason_for_an_end_stays() -> None:
    over = ended(session(), EndReason.LOGOUT, 5)
    assert ended(over, EndReason.REUSE, 9) is over


@given(jitter=st.floats(0, 0.5), issued_at=st.integers(T0, T0 + 10**7), lifetime=st.integers(1, 86400))
def test_the_jitter_only_shortens_and_is_the_same_for_the_same_token(
    jitter: float, issued_at: int, lifetime: int
) -> None:
    by = rules(access={"lifetime": lifetime, "jitter": jitter})
    value = access_lifetime(SID, issued_at, by)
    assert max(1, int(lifetime * (1 - jitter))) <= value <= lifetime
    assert value == access_lifetime(SID, issued_at, by)


def test_every_refusal_has_its_own_reason() -> None:
    outcomes = [
        StillValid(7),
        Expired("idle"),
        Ended(EndReason.LOGOUT),
        OtherClient(),
        AccessMissing(),
        AccessMismatch(),
        ScopeExceeded(),
        NeverIssued(),
    ]
    reasons = [refusal_of(outcome, session()).reason for outcome in outcomes]  # type: ignore[arg-type]
    assert len(set(reasons)) == len(outcomes)


def test_an_outcome_without_a_refusal_is_a_bug() -> None:
    with pytest.raises((AssertionError, TypeError)):  # compiled, it is not even taken
        refusal_of(Reused(session(), 1), session())  # type: ignore[arg-type]


def test_theft_is_what_raises_an_alarm() -> None:
    assert {EndReason.REUSE, EndReason.EARLY_EXCHANGE, EndReason.PAIR_MISMATCH} == THEFT
