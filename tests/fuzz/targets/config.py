"""Any text is soon a configuration, or a list of mistakes with lines; and no value from the environment shows."""

import time
from pathlib import Path

from gateway.config.load import load_text
from gateway.config.mistakes import ConfigMistakes

ENVIRONMENT = {"NAME": "nobody-may-see-this-value", "NUMBER": "5", "EMPTY": "", "LIST": "[1, 2]"}
SECONDS = 10.0
"""That one text may take: far more than any does, on a busy machine."""
_NOWHERE = Path("/nonexistent/config.yaml")


def check(data: bytes) -> None:
    begun = time.process_time()
    try:
        loaded = load_text(data, ENVIRONMENT, file=_NOWHERE)
    except ConfigMistakes as error:
        _check_mistakes(error, data)
    else:
        assert loaded.config.model_dump_json()
        assert loaded.document.mistakes == ()
        for line in loaded.document.lines.values():
            assert 1 <= line <= _lines(data)
    assert time.process_time() - begun < SECONDS


def _check_mistakes(error: ConfigMistakes, data: bytes) -> None:
    assert error.mistakes
    for mistake in error.mistakes:
        assert 1 <= mistake.line <= _lines(data), mistake
        assert mistake.message
        assert "\n" not in str(mistake)
        assert str(mistake).isprintable(), repr(str(mistake))
        assert "nobody-may-see" not in str(mistake)
        assert len(str(mistake)) < 2000


def _lines(data: bytes) -> int:
    """Return how many lines there are at most, whatever counts as a line break (YAML 1.1 §4.2)."""
    text = data.decode("utf-8", "replace")
    return 1 + sum(text.count(mark) for mark in "\n\r\x85\u2028\u2029")
