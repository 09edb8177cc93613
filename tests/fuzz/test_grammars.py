"""The same promises, for inputs that Hypothesis makes from grammars: mutation seldom makes what is nearly right."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import grammar
from tests.fuzz.targets import TARGETS, load

GRAMMARS = {
    "answers": grammar.ANSWERS,
    "claims": grammar.objects("sub", "roles", "name", "realm"),
    "config": grammar.CONFIGS,
    "form": grammar.FORMS,
    "forwarding": grammar.HEADERS,
    "headers": grammar.HEADERS,
    "host": grammar.bent(grammar.HOSTS),
    "jwt": grammar.JWTS,
    "keys": grammar.KEY_SETS,
    "path": grammar.bent(grammar.TARGETS),
    "refresh_token": grammar.REFRESH_TOKENS,
    "requests": grammar.REQUESTS,
    "strict_json": grammar.objects("a", "b"),
    "users": grammar.USERS,
}


def test_every_target_has_a_grammar() -> None:
    assert set(GRAMMARS) == set(TARGETS)


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_what_is_nearly_right_breaks_no_promise(target: str, data: st.DataObject) -> None:
    load(target)(data.draw(GRAMMARS[target]))
