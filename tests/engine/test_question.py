"""What may be shown of a request that somebody asks about."""

import re

import pytest

from gateway.engine.question import Question, asked, header, url_parts

JWT = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"


def question(*headers: tuple[str, str], token: str | None = None) -> Question:
    pairs = [header(name, value) for name, value in headers]
    return asked("GET", url_parts("http://x/"), pairs, token, "127.0.0.1", 0)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"a {JWT} b", "a <hidden> b"),
        (f"x=token{JWT}&y", "x=token<hidden>&y"),
        (f"a.b.{JWT}.c", "a.b.<hidden>.c"),
        (f"{JWT}.{JWT}", "<hidden>.<hidden>"),
        ("eyJhbGciOiJub25lIn0.e30.", "<hidden>"),
        ("eyJhbGciOiJub25lIn0.e30", "eyJhbGciOiJub25lIn0.e30"),
        ("eyJ.a.b", "eyJ.a.b"),
        ("eyJhbGciOiJub25lIn0..b", "eyJhbGciOiJub25lIn0..b"),
        ("api.example.com/v1.2.3", "api.example.com/v1.2.3"),
    ],
)
def test_what_looks_like_a_jwt_is_hidden(text: str, shown: str) -> None:
    assert question().without_secrets(text) == shown


def test_the_work_is_linear_in_the_text() -> None:
    """With one expression for a whole JWT this took minutes: it was tried at each of these beginnings."""
    text = "eyJ" * 500_000
    assert question().without_secrets(text) == text


def test_credentials_are_hidden_whatever_they_look_like() -> None:
    asked_about = question(("Cookie", "theme=dark; sid=geheimniß-1234"), token="opaque-token-1")
    text = asked_about.without_secrets("opaque-token-1, geheimniß-1234, dark")
    assert text == "<hidden>, <hidden>, dark"
    assert re.search("opaque|geheim", text) is None
