import unicodedata

from gateway.mechanisms.logins.base import Attempt, as_bytes, as_compared


def test_a_letter_is_the_same_however_it_was_typed() -> None:
    assert as_compared(unicodedata.normalize("NFD", "é")) == "é"
    assert as_bytes(unicodedata.normalize("NFD", "é")) == "é".encode()


def test_nothing_else_is_the_same() -> None:
    assert len({as_compared(name) for name in ("Alice", "alice", "alice ", "ａｌｉｃｅ", "аlice")}) == 5


def test_any_text_that_json_can_carry_has_bytes() -> None:
    assert as_bytes("\ud800") != as_bytes("?")


def test_an_attempt_does_not_show_its_password() -> None:
    attempt = Attempt("alice", "hunter2!", "192.0.2.1", {"password": "hunter2!"}, headers={"cookie": "hunter2!"})
    assert "hunter2!" not in repr(attempt)
