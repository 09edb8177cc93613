"""What becomes of sessions, counted and told to operators.

Theft is a warning: somebody may have to act. Whoever sends junk cannot fill the log: it is only counted. A session is
named by its id, which is no secret: without its keys nobody can make a token of it.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import assert_never

from gateway.model.session import THEFT, CutOff, Exchanged, Opened, SessionEvent, SessionOver, TokenRevoked
from gateway.model.tally import DurationTally
from gateway.telemetry.audit_sessions import SessionAudit
from gateway.telemetry.log import Log

REPEAT_AGES = (0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 21600.0)
"""Upper bounds in seconds: parallel tabs below 10, lost answers above."""
_JUNK = frozenset({"unknown_refresh_token"})


@dataclass(slots=True)
class SessionTally:
    """The numbers, and `record`, which takes every event. `alarm` is called for theft, `audit` hears all of it."""

    log: Log
    alarm: Callable[[SessionOver], None] = lambda event: None
    exchanges: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    logins: Counter[str] = field(default_factory=Counter)
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    repeat_ages: DurationTally = field(default_factory=lambda: DurationTally(REPEAT_AGES))
    opened: int = 0
    healed: int = 0
    audit: SessionAudit | None = None

    def record(self, event: SessionEvent) -> None:
        if self.audit is not None:
            self.audit.record(event)
        match event:
            case Opened():
                self._opened(event)
            case Exchanged():
                self._exchanged(event)
            case SessionOver():
                self._over(event)
            case CutOff():
                self.log.warning("tokens_cut_off", what=event.level, issuer=event.issuer, name=event.name)
            case TokenRevoked():
                pass  # what a client does with its own token is for the audit log alone
            case _:
                assert_never(event)

    def login(self, result: str) -> None:
        """Count a login: `ok`, or the reason of a refusal."""
        self.logins[result] += 1

    def answered(self, endpoint: str, result: str) -> None:
        """Count an answer of an endpoint: `ok`, or the reason of a refusal, also before anything was exchanged."""
        self.answers[endpoint, result] += 1
        if self.audit is not None:
            self.audit.answered(endpoint, result)

    def _opened(self, event: Opened) -> None:
        self.opened += 1
        session = event.session
        self.log.info(
            "session_opened",
            session=session.sid,
            subject=session.subject,
            client=session.client_id,
            address=session.address,
        )

    def _exchanged(self, event: Exchanged) -> None:
        self.exchanges[event.result] += 1
        self.healed += event.healed > 0
        if event.age_ms is not None:
            self.repeat_ages.observe(event.age_ms / 1000)
        if event.session is None and event.result not in _JUNK:
            self.log.info("exchange_refused", reason=event.result, client=event.client_id, address=event.address)

    def _over(self, event: SessionOver) -> None:
        self.ended[event.reason] += 1
        session = event.session
        fields = {
            "session": session.sid,
            "subject": session.subject,
            "client": session.client_id,
            "reason": event.reason.value,
        }
        if event.reason in THEFT:
            self.log.warning("refresh_token_reuse", **fields, distance=event.distance, address=event.address)
            self.alarm(event)
        else:
            self.log.info("session_ended", **fields)
