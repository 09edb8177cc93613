"""Sessions, rules and what is presented, for tests of the exchange."""

from typing import Any

from gateway.engine.outcomes import Presented
from gateway.engine.session_rules import AccessRules, ExchangeRules, LimitRules, RefreshRules, SessionRules
from gateway.model.session import Session

T0 = 1_800_000_000
"""When the session began, in Unix seconds."""
SID = "AAABAgMEBQYHCAkKCwwNDg"
_SECTIONS = {"access": AccessRules, "refresh": RefreshRules, "exchange": ExchangeRules, "limit": LimitRules}


def rules(**settings: Any) -> SessionRules:
    """Return the default rules without jitter, but for settings like `exchange={"early": "theft"}`."""
    settings = {**settings, "access": {"jitter": 0, **settings.get("access", {})}}
    return SessionRules(
        **{name: _SECTIONS[name](**value) if name in _SECTIONS else value for name, value in settings.items()}
    )


def session(**changes: Any) -> Session:
    """Return a session that has just begun, but for the changes."""
    fields: dict[str, Any] = {
        "sid": SID,
        "subject": "alice",
        "client_id": "web",
        "generation": 1,
        "rotated_at_ms": T0 * 1000,
        "access_issued_at": T0,
        "access_lifetime": 600,
        "created_at": T0,
        "last_used_at": T0,
        "idle_expires_at": T0 + 7 * 86400,
        "absolute_expires_at": T0 + 30 * 86400,
        "scope": "orders:read orders:write",
        "access_scope": "orders:read orders:write",
        "salt": b"saltsalt",
        "refresh_kid": 1,
        "signing_kid": "k1",
        "version": 1,
    }
    return Session(**{**fields, **changes})


def presented(generation: int, **changes: Any) -> Presented:
    """Return a refresh token of a generation, from its own client."""
    return Presented(**{"client_id": "web", "refresh_kid": 1, "signing_kid": "k1", **changes, "generation": generation})
