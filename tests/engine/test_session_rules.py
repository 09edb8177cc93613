from typing import Any

import pytest
from pydantic import ValidationError

from gateway.engine.session_rules import AccessRules, ExchangeRules, LimitRules, RefreshRules, SessionRules


def test_the_defaults_are_the_stated_ones() -> None:
    rules = SessionRules()
    assert (rules.access.lifetime, rules.refresh.idle, rules.refresh.absolute) == (600, 7 * 86400, 30 * 86400)
    assert (rules.exchange.concurrency_window, rules.exchange.recovery_window) == (10, 3600)
    assert (rules.exchange.access_token, rules.exchange.early, rules.exchange.heal_limit) == ("none", "allow", 2)
    assert (rules.refresh.rotate, rules.limit.per_subject, rules.binding) == (True, 0, "none")


def test_a_session_must_end_some_time() -> None:
    with pytest.raises(ValidationError, match="a session must end some time"):
        RefreshRules(idle=None, absolute=None)
    assert RefreshRules(idle=None).absolute == 30 * 86400
    assert RefreshRules(absolute=None).idle == 7 * 86400


def test_single_use_is_said_twice() -> None:
    """Else a recovery window of an hour would go unnoticed."""
    with pytest.raises(ValidationError, match="set recovery_window: 0 as well"):
        ExchangeRules(concurrency_window=0)
    assert ExchangeRules(concurrency_window=0, recovery_window=0).concurrency_window == 0
    assert ExchangeRules(recovery_window=0).concurrency_window == 10


@pytest.mark.parametrize(
    ("word", "wants_access", "wants_pair"), [("none", False, False), ("present", True, False), ("bound", True, True)]
)
def test_what_must_come_beside_the_refresh_token(word: Any, wants_access: bool, wants_pair: bool) -> None:
    rules = ExchangeRules(access_token=word)
    assert (rules.wants_access, rules.wants_pair) == (wants_access, wants_pair)


@pytest.mark.parametrize(
    ("section", "settings"),
    [
        (AccessRules, {"lifetime": 0}),
        (AccessRules, {"lifetime": "2d"}),
        (AccessRules, {"jitter": 0.6}),
        (AccessRules, {"renew_below": 0}),
        (AccessRules, {"renew_below": 1}),
        (RefreshRules, {"idle": 0}),
        (RefreshRules, {"absolute": 0}),
        (RefreshRules, {"format": "random"}),
        (ExchangeRules, {"access_token": False}),
        (ExchangeRules, {"early": "refuse"}),
        (ExchangeRules, {"concurrency_window": "6m"}),
        (ExchangeRules, {"recovery_window": "8d"}),
        (ExchangeRules, {"heal_limit": 11}),
        (ExchangeRules, {"early_slack": "-1s"}),
        (LimitRules, {"per_subject": -1}),
        (LimitRules, {"on_excess": "evict"}),
        (LimitRules, {"per_user": 1}),
    ],
)
def test_a_mistake_in_the_settings_is_refused(section: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        section(**settings)
