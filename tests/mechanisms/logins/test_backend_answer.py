import json
from typing import Any

import pytest

from gateway.mechanisms.logins.backend_answer import UnusableAnswer, UserPaths, read_user
from gateway.mechanisms.logins.base import ProvenUser

PATHS = UserPaths(("user", "id"), ("user", "scope"), {"team": ("user", "team"), "plan": ("plan",)})


def read(**user: Any) -> ProvenUser:
    return read_user(json.dumps({"user": {"id": "u-1", **user}, "plan": None}).encode(), PATHS)


def test_subject_scope_and_claims_are_taken_from_where_they_are() -> None:
    assert read(scope="a  b", team=["x", 1]) == ProvenUser("u-1", "a b", {"team": ["x", 1]})
    assert read(scope=["a", "b:c"]) == ProvenUser("u-1", "a b:c", {})
    assert read() == ProvenUser("u-1", None, {})
    assert read(scope="").scope == ""


def test_a_number_is_a_subject_in_digits() -> None:
    assert read(id=9007199254740993).subject == "9007199254740993"


@pytest.mark.parametrize("subject", [None, "", True, 1.5, [], {}, "a\nb", "x" * 256])
def test_anything_else_is_no_subject(subject: Any) -> None:
    with pytest.raises(UnusableAnswer, match=r"user\.id"):
        read(id=subject)


@pytest.mark.parametrize("scope", [7, True, {}, [1], ["a b"], 'a"b', "é", ["a"] * 3000])
def test_a_scope_that_is_none_is_not_guessed_at(scope: Any) -> None:
    with pytest.raises(UnusableAnswer, match=r"user\.scope"):
        read(scope=scope)


def test_a_token_does_not_grow_without_bounds() -> None:
    with pytest.raises(UnusableAnswer, match="4096"):
        read(team="x" * 5000)


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b'"u-1"', b"<html>", b'{"user": {"id": "a", "id": "b"}}', b"\xff", b"[" * 10_000],
)
def test_what_is_not_one_json_object_is_not_read(body: bytes) -> None:
    with pytest.raises(UnusableAnswer, match="strict JSON object"):
        read_user(body, PATHS)


def test_no_message_shows_a_value() -> None:
    for user in ({"id": "hunter2!\n"}, {"scope": 'hunter2!"'}, {"team": "hunter2!" * 1000}):
        with pytest.raises(UnusableAnswer) as caught:
            read(**user)
        assert "hunter2" not in str(caught.value)
