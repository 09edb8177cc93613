"""What the upstream answers, and where."""

from typing import Final

ANSWER: Final = "x" * 200
ECHO_PATH: Final = "/echo"
"""Answered with the claim headers as the upstream saw them."""
STATUS_PATH: Final = "/upstream-status"
"""Answered with the number of requests."""
