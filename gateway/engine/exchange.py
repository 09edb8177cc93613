"""The refresh exchange, and whatever else becomes of a session, as pure functions over its record.

The laws, whatever the order of honest clients, lost answers, parallel tabs, thieves and crashes:

* A session has one live successor at most: whoever repeats an exchange gets the same pair again.
* The predecessor of the live refresh token is repeated within `concurrency_window` of the rotation, and while the new
  pair was never seen in use within `recovery_window`. Both are anchored at the rotation and never extended.
* Outside of them, and for anything older, the session ends.
* A session that is over stays so, and raises no alarm again.
* Nothing extends the absolute lifetime. Nothing that a stranger can send changes a record.
"""

from hashlib import blake2b

from gateway.engine.outcomes import (
    AccessMismatch,
    AccessMissing,
    Ended,
    Expired,
    NeverIssued,
    OtherClient,
    Outcome,
    Presented,
    Repeated,
    Reused,
    Rotated,
    ScopeExceeded,
    StillValid,
)
from gateway.engine.session_rules import SessionRules
from gateway.model.session import End, EndReason, Session

RENEW_BEFORE_MS = 5000
"""A repeated access token with less time left than this, or half its lifetime, is replaced by a new one."""


def exchange(session: Session, presented: Presented, now_ms: int, rules: SessionRules) -> Outcome:
    """Return what becomes of a session when this is presented. `now_ms` is the store's clock.

    The refresh token's MAC has been checked: that is what makes it genuine.
    """
    now_ms = max(now_ms, session.rotated_at_ms)  # the clock of a new primary may be behind
    if presented.client_id != session.client_id:
        return OtherClient()
    if session.ended is not None:
        return Ended(session.ended.reason)
    if (limit := reached_limit(session, now_ms)) is not None:
        return Expired(limit)
    healed = max(0, presented.generation - session.generation)
    if healed > rules.exchange.heal_limit:
        return NeverIssued()
    if healed:
        session = session._replace(generation=session.generation + healed)
    return _judge(session, presented, now_ms, rules, healed)


def is_usable(session: Session, generation: int, now_ms: int, rules: SessionRules) -> bool:
    """Say whether the refresh token of this generation would be taken, everything else being well."""
    now_ms = max(now_ms, session.rotated_at_ms)
    if session.ended is not None or reached_limit(session, now_ms) is not None:
        return False
    distance = session.generation - generation
    return -rules.exchange.heal_limit <= distance <= 0 or (distance == 1 and _is_repeatable(session, now_ms, rules))


def reached_limit(session: Session, now_ms: int) -> str | None:
    """Return the limit that a session has reached: `absolute`, `idle` or none."""
    if session.absolute_expires_at is not None and now_ms >= session.absolute_expires_at * 1000:
        return "absolute"
    if session.idle_expires_at is not None and now_ms >= session.idle_expires_at * 1000:
        return "idle"
    return None


def ended(session: Session, reason: EndReason, now_ms: int) -> Session:
    """Return the session as it is when it has ended. The first reason stays."""
    return session if session.ended is not None else session._replace(ended=End(reason, now_ms))


def acknowledged(session: Session, generation: int) -> Session | None:
    """Return the session as it is when an access token of this generation was seen in use; None if that is no news."""
    if session.generation != generation or session.acknowledged or session.ended is not None:
        return None
    return session._replace(acknowledged=True)


def renewed(session: Session, generation: int, now_ms: int, rules: SessionRules) -> Session | None:
    """Return the session with a new access token of the same generation, if the present one nears its end.

    Where another request was first, that is the session itself. None if there is nothing to renew.
    """
    if session.ended is not None or session.generation != generation or reached_limit(session, now_ms) is not None:
        return None
    now = now_ms // 1000
    if session.access_expires_at - now > rules.access.renew_below * session.access_lifetime:
        return session
    issued_at = max(now, session.access_issued_at)
    used = session._replace(last_used_at=now, idle_expires_at=_idle_end(rules, now, session.idle_expires_at))
    lifetime = min(access_lifetime(session.sid, issued_at, rules), used.expires_at - issued_at)
    fresh = used._replace(access_issued_at=issued_at, access_lifetime=lifetime)
    return fresh if fresh.access_expires_at > session.access_expires_at else None


def access_lifetime(sid: str, issued_at: int, rules: SessionRules) -> int:
    """Return how long an access token is good, in seconds: a little less for some, the same for the same arguments."""
    digest = blake2b(f"{sid}.{issued_at}".encode(), digest_size=4).digest()
    share = int.from_bytes(digest) / 2**32 * rules.access.jitter
    return max(1, round(rules.access.lifetime * (1 - share)))


# --- the exchange, step by step


def _judge(session: Session, presented: Presented, now_ms: int, rules: SessionRules, healed: int) -> Outcome:
    """Judge a refresh token that is of the live generation or an older one."""
    distance = session.generation - presented.generation
    if distance > 1 or (distance == 1 and not _is_repeatable(session, now_ms, rules)):
        return Reused(ended(session, EndReason.REUSE, now_ms), distance)
    if (objection := _objection(session, presented, now_ms, rules)) is not None:
        return objection
    if distance == 1:
        return _repeat(session, now_ms, rules)
    if not healed:  # else the record does not know the access token of this pair
        if _is_repeated_in_place(session, presented, now_ms, rules):
            return _repeat(session, now_ms, rules)
        if (too_early := _too_early(session, now_ms, rules)) is not None:
            return too_early
    return Rotated(_rotated(session, presented, now_ms, rules), healed)


def _is_repeatable(session: Session, now_ms: int, rules: SessionRules) -> bool:
    """Say whether who comes again for the present pair gets it again."""
    age_ms = _age_ms(session, now_ms)
    return _is_within(age_ms, rules.exchange.concurrency_window) or (
        not session.acknowledged and _is_within(age_ms, rules.exchange.recovery_window)
    )


def _is_within(age_ms: int, window: float) -> bool:
    return window > 0 and age_ms <= _ms(window)


def _objection(
    session: Session, presented: Presented, now_ms: int, rules: SessionRules
) -> AccessMissing | AccessMismatch | Reused | ScopeExceeded | None:
    """Return what speaks against an exchange that the refresh token itself allows."""
    if rules.exchange.wants_access:
        access = presented.access
        if access is None:
            return AccessMissing()
        if access.sid != session.sid:
            return AccessMismatch()
        if rules.exchange.wants_pair and access.generation != presented.generation:
            if access.generation > presented.generation:
                return AccessMismatch()
            distance = session.generation - presented.generation
            return Reused(ended(session, EndReason.PAIR_MISMATCH, now_ms), distance)
    if not set(_wanted_scope(session, presented).split()) <= set(session.scope.split()):
        return ScopeExceeded()
    return None


def _repeat(session: Session, now_ms: int, rules: SessionRules) -> Repeated:
    age_ms = _age_ms(session, now_ms)
    is_recovery = not _is_within(age_ms, rules.exchange.concurrency_window)
    fresh = session._replace(access_issued_at=max(now_ms // 1000, session.access_issued_at))
    if not _has_time_left(session, now_ms) and fresh.access_expires_at > session.access_expires_at:
        return Repeated(fresh, age_ms, is_recovery, is_changed=True)
    return Repeated(session, age_ms, is_recovery, is_changed=False)


def _is_repeated_in_place(session: Session, presented: Presented, now_ms: int, rules: SessionRules) -> bool:
    """Say whether the last exchange is asked for again, where the refresh token stays the same.

    The login is no exchange: a token that is exchanged right after it is exchanged early.
    """
    was_exchanged = rules.exchange.early == "allow" or session.rotated_at_ms >= (session.created_at + 1) * 1000
    return (
        not rules.refresh.rotate
        and was_exchanged
        and _is_repeatable(session, now_ms, rules)
        and _has_time_left(session, now_ms)
        and _wanted_scope(session, presented) == session.access_scope
    )


def _too_early(session: Session, now_ms: int, rules: SessionRules) -> StillValid | Reused | None:
    slack_ms = min(_ms(rules.exchange.early_slack), session.access_lifetime * 500)
    left_ms = session.access_expires_at * 1000 - slack_ms - now_ms
    if rules.exchange.early == "allow" or left_ms <= 0:
        return None
    if rules.exchange.early == "theft":
        return Reused(ended(session, EndReason.EARLY_EXCHANGE, now_ms), 0)
    return StillValid(-(-left_ms // 1000))


def _rotated(session: Session, presented: Presented, now_ms: int, rules: SessionRules) -> Session:
    now = now_ms // 1000
    issued_at = max(now, session.access_issued_at)
    lifetime = access_lifetime(session.sid, issued_at, rules)
    return session._replace(
        generation=session.generation + rules.refresh.rotate,
        rotated_at_ms=now_ms,
        access_issued_at=issued_at,
        # Never before the last one's end: who ends the session must know how long any of its tokens could be good.
        access_lifetime=max(lifetime, session.access_expires_at - issued_at),
        access_scope=_wanted_scope(session, presented),
        last_used_at=now,
        idle_expires_at=_idle_end(rules, now, session.idle_expires_at),
        refresh_kid=presented.refresh_kid,
        signing_kid=presented.signing_kid,
        acknowledged=False,
    )


def _wanted_scope(session: Session, presented: Presented) -> str:
    return session.scope if presented.scope is None else " ".join(dict.fromkeys(presented.scope.split()))


def _has_time_left(session: Session, now_ms: int) -> bool:
    return now_ms < session.access_expires_at * 1000 - min(RENEW_BEFORE_MS, session.access_lifetime * 500)


def _idle_end(rules: SessionRules, now: int, before: int | None) -> int | None:
    """Return the new idle limit; where it does not slide, or there is none any more, that of the login stays."""
    idle = rules.refresh.idle if rules.refresh.sliding else None
    return before if idle is None else now + int(idle)


def _age_ms(session: Session, now_ms: int) -> int:
    return max(0, now_ms - session.rotated_at_ms)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
