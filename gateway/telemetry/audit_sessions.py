"""What becomes of sessions and at the endpoints for them, as it stands in the audit log."""

from typing import Any, assert_never

from gateway.model.session import (
    THEFT,
    CutOff,
    EndReason,
    Exchanged,
    Opened,
    Session,
    SessionEvent,
    SessionOver,
    TokenRevoked,
)
from gateway.telemetry.audit import GATEWAY, AuditLog
from gateway.telemetry.audit_asker import ASKER

_FAILURES = {
    "login": "login_failed",
    "signup": "login_failed",
    "sessions": "login_failed",
    "token": "exchange_failed",
    "refresh": "exchange_failed",
    "revoke": "request_refused",
    "introspect": "request_refused",
    "logout": "request_refused",
}
"""The event of a request that an endpoint refuses."""
_BY_USER = frozenset({EndReason.LOGOUT, EndReason.LOGOUT_ALL, EndReason.EVICTED})
_BY_OPERATOR = frozenset({EndReason.ADMIN, EndReason.CREDENTIAL_CHANGE})


class SessionAudit:
    """Hears what `SessionTally` hears."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log

    def record(self, event: SessionEvent) -> None:
        match event:
            case Opened():
                self._opened(event.session)
            case Exchanged():
                self._exchanged(event)
            case SessionOver():
                self._over(event)
            case CutOff():
                self._log.write("tokens_cut_off", level=event.level, issuer=event.issuer, name=event.name)
            case TokenRevoked():
                who = {"subject": event.subject, "client_id": event.client_id}
                self._log.write("token_revoked", actor=f"client:{event.client_id}", token_id=event.token_id, **who)
            case _:
                assert_never(event)

    def answered(self, endpoint: str, result: str) -> None:
        """Hear of an answer: `ok`, or the reason of a refusal."""
        if result == "ok" or endpoint not in _FAILURES:
            return
        asker = ASKER.get()
        fields: dict[str, Any] = {"reason": result, "endpoint": endpoint}
        if asker is not None and asker.client_id is not None:
            fields["client_id"] = asker.client_id
        if asker is not None and asker.login is not None:
            fields["login"] = asker.login
        self._log.write(_FAILURES[endpoint], **fields)

    def _opened(self, session: Session) -> None:
        asker = ASKER.get()
        endpoint, actor = (None, None) if asker is None else (asker.endpoint, asker.actor)
        who = {"actor": actor or f"user:{session.subject}", **_about(session)}
        self._log.write("login_succeeded", **who, endpoint=endpoint, device=session.device)

    def _exchanged(self, event: Exchanged) -> None:
        """What an endpoint refuses is written when it answers: some is refused before it gets here."""
        if event.session is not None:
            return
        asker = ASKER.get()
        if asker is not None and asker.endpoint is not None:
            asker.client_id = event.client_id
            return
        fields = {"reason": event.result, "endpoint": "inline", "client_id": event.client_id}
        self._log.write("exchange_failed", address=event.address, **fields)

    def _over(self, event: SessionOver) -> None:
        fields = {"reason": event.reason.value, **_about(event.session)}
        if event.reason not in THEFT:
            self._log.write("session_ended", actor=_who_ended(event), **fields)
            return
        # Whoever showed the token is one of two: the client, or the thief.
        self._log.write("session_stolen", actor=GATEWAY, address=event.address, **fields, distance=event.distance)


def _who_ended(event: SessionOver) -> str:
    if event.reason in _BY_USER:
        return f"user:{event.session.subject}"
    if event.reason is EndReason.REVOKED:
        return f"client:{event.session.client_id}"
    asker = ASKER.get()
    if event.reason in _BY_OPERATOR and asker is not None and asker.actor is not None:
        return asker.actor
    return GATEWAY


def _about(session: Session) -> dict[str, Any]:
    return {"session": session.sid, "subject": session.subject, "client_id": session.client_id}
