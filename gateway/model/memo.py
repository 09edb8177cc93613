"""What was worked out for names that clients send, remembered within bounds."""

from typing import Final, Generic, TypeVar

V = TypeVar("V")

_NAMES = 4096
_LONGEST = 64


class Memo(Generic[V]):
    """Name as it was sent → what becomes of it, in `known`.

    Clients choose the names: a long one is not remembered, and a full memo begins anew, so that made-up names neither
    fill the memory nor keep honest ones out.
    """

    def __init__(self) -> None:
        self.known: Final[dict[bytes, V]] = {}

    def remember(self, name: bytes, value: V) -> V:
        """Return the value, remembered if the name is worth it."""
        if len(name) <= _LONGEST:
            if len(self.known) >= _NAMES:
                self.known.clear()
            self.known[name] = value
        return value
