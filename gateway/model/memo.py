"""What was worked out for header names, remembered within bounds."""

from typing import TypeVar

V = TypeVar("V")

_NAMES = 4096
_LONGEST = 64


class Memo(dict[bytes, V]):
    """Header name as it was sent → what becomes of it.

    Clients choose the names: a long one is not remembered, and a full memo begins anew, so that made-up names neither
    fill the memory nor keep honest ones out.
    """

    def remember(self, name: bytes, value: V) -> V:
        """Return the value, remembered if the name is worth it."""
        if len(name) <= _LONGEST:
            if len(self) >= _NAMES:
                self.clear()
            self[name] = value
        return value
