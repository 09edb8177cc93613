"""The laws of the exchange, under every interleaving that Hypothesis can think of.

One session in a store that commits optimistically. Its client has several tabs that share their storage; a thief has
copies of whatever was ever issued. Requests are several steps (load, commit, answer), with others in between; each can
be the last one. Answers and first uses get lost, keys rotate, the store falls back to an older record. What must come
out is told by bookkeeping of the test's own: when each pair came about, and whether its use was noted.
"""

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from gateway.engine.exchange import RENEW_BEFORE_MS, acknowledged, ended, exchange, renewed
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
    StillValid,
)
from gateway.engine.session_rules import SessionRules
from gateway.model.session import EndReason, Session
from tests.engine.session_examples import SID, T0, presented, rules, session


@dataclass
class Pair:
    """What a client has: both tokens, as far as one can differ from another."""

    generation: int
    refresh_kid: int
    access: tuple[int, int, str]
    """Its generation, issue time and end, and key."""
    access_expires_at: int

    @classmethod
    def of(cls, record: Session) -> "Pair":
        access = (record.generation, record.access_issued_at, record.signing_kid)
        return cls(record.generation, record.refresh_kid, access, record.access_expires_at)


@dataclass
class Request:
    """An exchange that is under way. `record` is what was loaded, `answer` what was committed."""

    pair: Pair
    access: PresentedAccess | None
    is_honest: bool
    record: Session
    answer: Pair | None = None


@dataclass
class Known:
    """What the test itself knows of the live pair. Falls back together with the store."""

    generation: int
    rotated_ms: int
    pair: Pair
    is_used: bool = False
    is_login: bool = False


@dataclass
class Version:
    record: Session
    known: Known


class Laws(RuleBasedStateMachine):
    by: SessionRules

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = T0 * 1000
        record = session(
            access_lifetime=int(self.by.access.lifetime),
            idle_expires_at=T0 + int(self.by.refresh.idle or 0),
            absolute_expires_at=T0 + int(self.by.refresh.absolute or 0),
        )
        self.history = [Version(record, Known(1, T0 * 1000, Pair.of(record), is_login=True))]
        self.stored = Pair.of(record)
        """What the honest client has in its storage."""
        self.issued = [self.stored]
        self.requests: list[Request] = []
        self.uses: list[int] = []
        """Generations whose first use was seen, and is not committed yet."""
        self.kid = 1
        self.is_disturbed = False
        """Something happened by which an honest client may lose its session: theft, or a window that was missed."""

    # --- what there is

    @property
    def record(self) -> Session:
        return self.history[-1].record

    @property
    def known(self) -> Known:
        return self.history[-1].known

    def commit(self, expected: Session, record: Session, known: Known) -> bool:
        if expected.version != self.record.version:
            return False
        self.history.append(Version(record._replace(version=expected.version + 1), known))
        return True

    # --- exchanges

    @rule(in_time=st.booleans())
    def tab_asks(self, in_time: bool) -> None:
        """A tab reads the storage and asks, in time for `early` unless it is reckless."""
        slack_ms = min(round(self.by.exchange.early_slack * 1000), round(self.by.access.lifetime * 500))
        is_early = self.now_ms < self.stored.access_expires_at * 1000 - slack_ms
        if self.by.exchange.early != "allow" and is_early and (in_time or self.by.exchange.early == "theft"):
            return
        self.ask(self.stored, PresentedAccess(SID, self.stored.generation), is_honest=True)

    @rule(is_lost=st.booleans())
    def tab_exchanges(self, is_lost: bool) -> None:
        """A whole exchange with nobody in between."""
        number = len(self.requests)
        self.tab_asks(in_time=True)
        for request in self.requests[number:]:
            self.decide(request)
        for request in self.requests[number:]:
            self.requests.remove(request)
            if not is_lost and request.answer is not None:
                self.store_answer(request)

    @rule(data=st.data(), has_access=st.booleans())
    def thief_asks(self, data: st.DataObject, has_access: bool) -> None:
        pair = data.draw(st.sampled_from(self.issued), "stolen")
        access = PresentedAccess(SID, data.draw(st.sampled_from(self.issued)).generation) if has_access else None
        self.is_disturbed = True
        self.ask(pair, access, is_honest=False)

    def ask(self, pair: Pair, access: PresentedAccess | None, *, is_honest: bool) -> None:
        self.requests.append(Request(pair, access, is_honest, self.record))

    @precondition(lambda self: any(request.answer is None for request in self.requests))
    @rule(data=st.data())
    def gateway_decides(self, data: st.DataObject) -> None:
        """Decide by what was loaded, and commit; a lost race is run again by what is stored now."""
        self.decide(data.draw(st.sampled_from([each for each in self.requests if each.answer is None]), "request"))

    def decide(self, request: Request) -> None:
        while (outcome := self.tried(request, request.record)) is None:
            request.record = self.record
        if not isinstance(outcome, Rotated | Repeated):
            self.requests.remove(request)
            if request.is_honest and not self.is_disturbed:
                assert isinstance(outcome, StillValid | Expired), outcome

    def tried(self, request: Request, record: Session) -> Outcome | None:
        """Return the outcome; None if it had to be committed, and somebody else was first."""
        outcome = exchange(record, self.presented(request), self.now_ms, self.by)
        known, is_current = self.known, record.version == self.record.version
        match outcome:
            case Rotated(session=after):
                is_done = self.commit(record, after, Known(after.generation, self.clock(record), Pair.of(after)))
            case Repeated(session=after, is_changed=True):
                is_done = self.commit(record, after, replace(known, pair=Pair.of(after)))
            case Reused(session=after):
                is_done = self.commit(record, after, known)
            case _:
                is_done = True
        if not is_done:
            return None
        if is_current:
            self.judge(request, record, known, outcome)
        if isinstance(outcome, Rotated | Repeated):
            request.answer = Pair.of(outcome.session)
            self.issued.append(request.answer)
        return outcome

    def presented(self, request: Request) -> Any:
        access = request.access if self.by.exchange.wants_access else None
        return presented(request.pair.generation, access=access, refresh_kid=self.kid, signing_kid=f"k{self.kid}")

    def clock(self, record: Session) -> int:
        return max(self.now_ms, record.rotated_at_ms)

    # --- the laws

    def judge(self, request: Request, before: Session, known: Known, outcome: Outcome) -> None:
        """Compare an outcome with what the test knows."""
        if self.is_over(before, outcome):
            return
        now_ms = self.clock(before)
        distance = known.generation - request.pair.generation
        age_ms = max(0, now_ms - known.rotated_ms)
        windows = self.by.exchange
        is_repeatable = (windows.concurrency_window > 0 and age_ms <= windows.concurrency_window * 1000) or (
            not known.is_used and windows.recovery_window > 0 and age_ms <= windows.recovery_window * 1000
        )
        if distance >= 2 or (distance == 1 and not is_repeatable):
            assert isinstance(outcome, Reused)
            assert outcome.session.ended is not None
            assert outcome.session.ended.reason is EndReason.REUSE
            if request.is_honest:
                self.is_disturbed = True
            return
        if self.objects(request, outcome):
            return
        if distance == 1:
            self.judge_repetition(known, outcome, now_ms)
        elif distance == 0:
            self.judge_exchange(before, known, outcome, now_ms, is_repeatable)
        elif -distance <= windows.heal_limit:
            assert isinstance(outcome, Rotated)
            assert (outcome.healed, outcome.session.generation) == (-distance, request.pair.generation + 1)
        else:
            assert outcome == NeverIssued()

    def is_over(self, before: Session, outcome: Outcome) -> bool:
        """Judge what a session that is over gives; say whether it is."""
        if before.ended is not None:
            assert outcome == Ended(before.ended.reason)
            return True
        assert before.idle_expires_at is not None
        if self.clock(before) < 1000 * min(before.idle_expires_at, T0 + int(self.by.refresh.absolute or 0)):
            return False
        assert isinstance(outcome, Expired)
        return True

    def objects(self, request: Request, outcome: Outcome) -> bool:
        """Judge an exchange by the access token beside it; say whether that was all."""
        if not self.by.exchange.wants_access:
            return False
        if request.access is None:
            assert outcome == AccessMissing()
            return True
        difference = request.access.generation - request.pair.generation
        if difference > 0:
            assert outcome == AccessMismatch()
        if difference < 0:
            assert isinstance(outcome, Reused)
        return difference != 0

    def judge_repetition(self, known: Known, outcome: Outcome, now_ms: int) -> None:
        """The same refresh token, and the same access token while it has time left."""
        assert isinstance(outcome, Repeated)
        pair = Pair.of(outcome.session)
        assert (pair.generation, pair.refresh_kid) == (known.pair.generation, known.pair.refresh_kid)
        assert outcome.session.rotated_at_ms == known.rotated_ms
        if now_ms < known.pair.access_expires_at * 1000 - RENEW_BEFORE_MS:
            assert pair == known.pair
        assert pair.access_expires_at >= known.pair.access_expires_at

    def judge_exchange(self, before: Session, known: Known, outcome: Outcome, now_ms: int, is_repeatable: bool) -> None:
        """The live refresh token."""
        early = self.by.exchange.early
        if not self.by.refresh.rotate and is_repeatable and isinstance(outcome, Repeated):
            assert early == "allow" or not known.is_login
            self.judge_repetition(known, outcome, now_ms)
            return
        slack_ms = min(round(self.by.exchange.early_slack * 1000), before.access_lifetime * 500)
        if early != "allow" and now_ms < before.access_expires_at * 1000 - slack_ms:
            assert isinstance(outcome, StillValid if early == "reject" else Reused)
            return
        assert isinstance(outcome, Rotated)
        assert outcome.healed == 0
        assert outcome.session.generation == known.generation + self.by.refresh.rotate

    # --- what becomes of answers

    @precondition(lambda self: any(request.answer for request in self.requests))
    @rule(data=st.data(), uses_it=st.booleans())
    def answer_arrives(self, data: st.DataObject, uses_it: bool) -> None:
        """A tab stores the new pair, unless another one did; and then it may use the access token."""
        request = data.draw(st.sampled_from([each for each in self.requests if each.answer]), "request")
        self.requests.remove(request)
        assert request.answer is not None
        self.store_answer(request)
        if uses_it and (not request.is_honest or self.stored.generation >= request.answer.generation):
            self.uses.append(request.answer.generation)

    def store_answer(self, request: Request) -> None:
        if request.is_honest and request.answer and self.stored.generation == request.pair.generation:
            self.stored = request.answer

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def request_is_lost(self, data: st.DataObject) -> None:
        """Before the commit, or after it: the gateway crashes, or the connection breaks."""
        self.requests.remove(data.draw(st.sampled_from(self.requests), "request"))

    # --- what else happens

    @rule()
    def tab_uses_the_access_token(self) -> None:
        self.uses.append(self.stored.generation)

    @precondition(lambda self: self.uses)
    @rule(data=st.data(), is_lost=st.booleans())
    def use_is_noted(self, data: st.DataObject, is_lost: bool) -> None:
        generation = self.uses.pop(data.draw(st.integers(0, len(self.uses) - 1), "use"))
        known = acknowledged(self.record, generation)
        if not is_lost and known is not None:
            assert generation == self.known.generation
            self.commit(self.record, known, replace(self.known, is_used=True))

    @precondition(lambda self: self.by.exchange.early == "allow")
    @rule()
    def access_token_is_renewed(self) -> None:
        """Configurations with another `early` do not renew: the client would not know how long its token is good."""
        fresh = renewed(self.record, self.stored.generation, self.now_ms, self.by)
        if fresh is not None and fresh is not self.record:
            self.commit(self.record, fresh, replace(self.known, pair=Pair.of(fresh)))

    @rule(seconds=st.sampled_from([0.001, 0.5, 5, 9, 11, 60, 200, 550, 700, 3700]))
    def time_passes(self, seconds: float) -> None:
        self.now_ms += round(seconds * 1000)

    @rule()
    def keys_rotate(self) -> None:
        self.kid += 1

    @rule(generation=st.integers(0, 20), client_id=st.sampled_from(["svc", None]))
    def stranger_asks(self, generation: int, client_id: str | None) -> None:
        assert exchange(self.record, presented(generation, client_id=client_id), self.now_ms, self.by) == OtherClient()

    @precondition(lambda self: self.record.ended is None)
    @rule(really=st.integers(0, 9))
    def user_logs_out(self, really: int) -> None:
        if really == 0:
            self.is_disturbed = True
            self.commit(self.record, ended(self.record, EndReason.LOGOUT, self.now_ms), self.known)

    @precondition(lambda self: self.record.ended is None)
    @rule(commits=st.integers(1, 2), seconds=st.integers(0, 2))
    def store_falls_back(self, commits: int, seconds: int) -> None:
        """A failover: the last commits are lost, its clock is behind, and all connections break."""
        if any(version.record.ended for version in self.history[-commits:]):
            return  # that is for the revocation view to remember
        lost = min(commits, self.by.exchange.heal_limit, len(self.history) - 1)
        if lost:
            del self.history[-lost:]
            self.requests.clear()
            if self.stored.generation - self.record.generation > self.by.exchange.heal_limit:
                self.is_disturbed = True  # several failovers in a row lost more than is healed
            self.now_ms -= seconds * 1000

    # --- what always holds

    @invariant()
    def nothing_extends_the_absolute_lifetime(self) -> None:
        end = T0 + int(self.by.refresh.absolute or 0)
        assert self.record.absolute_expires_at == end
        assert self.record.access_expires_at <= end
        assert self.record.expires_at <= end

    @invariant()
    def there_is_one_live_pair(self) -> None:
        if self.record.ended is None:
            assert Pair.of(self.record) == self.known.pair
            assert self.record.acknowledged == self.known.is_used

    @invariant()
    def what_ended_stays_as_it_ended(self) -> None:
        assert all(version.record.ended is None for version in self.history[:-1])

    @invariant()
    def access_tokens_end_in_their_order(self) -> None:
        ends = [version.record.access_expires_at for version in self.history]
        assert ends == sorted(ends)


SHORT = {"idle": 4000, "absolute": 9000}
RULES = {
    "default": rules(refresh=SHORT),
    "short": rules(refresh=SHORT, access={"lifetime": 20, "jitter": 0.3}, exchange={"recovery_window": 300}),
    "classic": rules(refresh=SHORT, exchange={"recovery_window": 0}),
    "single_use": rules(refresh=SHORT, exchange={"concurrency_window": 0, "recovery_window": 0}),
    "reject": rules(refresh=SHORT, exchange={"early": "reject"}),
    "theft": rules(refresh=SHORT, exchange={"early": "theft", "access_token": "bound"}),
    "bound": rules(refresh={**SHORT, "sliding": False}, exchange={"access_token": "bound", "heal_limit": 0}),
    "in_place": rules(refresh={**SHORT, "rotate": False}),
    "in_place_theft": rules(refresh={**SHORT, "rotate": False}, exchange={"early": "theft"}),
}


@pytest.mark.parametrize("name", RULES)
def test_the_laws_hold(name: str) -> None:
    """C73-C84, C103-C110, C176, C177"""

    class Case(Laws):
        by = RULES[name]

    run_state_machine_as_test(
        Case,
        settings=settings(
            max_examples=50,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
