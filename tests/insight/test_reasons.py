"""The words for reasons are those of the documentation."""

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from gateway.insight.reasons import Described, described
from gateway.telemetry.access_log import PASSED

SCRIPT = Path(__file__).parents[2] / "docs" / "site" / "reasons.py"


def test_the_words_are_those_of_the_list_of_errors() -> None:
    """`make docs` writes them anew."""
    made = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, check=True).stdout
    assert (files("gateway.insight") / "reasons.json").read_text("utf-8") == made


def test_a_reason_has_a_meaning_and_says_what_to_do() -> None:
    assert described("wrong_audience") == Described("`aud` names none of `audiences`", "request the token for this API")
    assert described("expired_session").advice == "log in again"


@pytest.mark.parametrize("reason", PASSED)
def test_what_passes_is_described_too(reason: str) -> None:
    assert described(reason).meaning


def test_a_reason_of_another_kind_of_part_has_no_words() -> None:
    assert described("made_up") == Described("", "")
