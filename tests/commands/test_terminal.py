"""What is printed fits where it goes: its width, its letters, its wish for colours."""

import io

import pytest

from gateway.commands.showing.terminal import Paint, columns, encodable, fitted, paint_for, width_of


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("abc", 5, "abc  "),
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("abcd", 1, "…"),
        ("abcd", 0, ""),
        ("김철수", 6, "김철수"),
        ("김철수", 5, "김철…"),
        ("김철수", 4, "김… "),
        ("a" * 10_000, 4, "aaa…"),
    ],
)
def test_a_text_gets_exactly_its_columns(text: str, width: int, shown: str) -> None:
    assert fitted(text, width) == shown
    assert columns(shown) == width


@pytest.mark.parametrize(
    ("variables", "has_colours"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_colours_are_for_terminals_whose_user_wants_them(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], has_colours: bool
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert paint_for(Tty()) == Paint(has_colours)
    assert paint_for(io.StringIO()) == Paint()


def test_only_a_terminal_has_a_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "77")
    assert width_of(Tty()) == 77
    assert width_of(io.StringIO()) is None


def test_letters_that_cannot_be_printed_are_escaped() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    assert encodable("a…김", stream) == r"a\u2026\uae40"
