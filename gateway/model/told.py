"""What several processes answered to a question about themselves."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple


class Told(NamedTuple):
    """The answers as JSON values, and how many workers are in which state."""

    answers: list[Any]
    workers: dict[str, int]


Gather = Callable[[bytes], Awaitable[Told]]
"""Ask every worker a question, this one as well. Those that do not answer in time are left out."""
