"""A dict that others fill, within bounds."""

from typing import TypeVar

K = TypeVar("K", str, bytes)
V = TypeVar("V")

_ENTRIES = 1024
_LONGEST = 1024


class Bounded(dict[K, V]):
    """What was worked out for keys that others choose, and of which there are few when all is well.

    A long key is not remembered, and a full dict begins anew: so it neither fills the memory nor keeps new ones out.
    """

    def remember(self, key: K, value: V) -> V:
        """Return the value, remembered if the key is worth it."""
        if len(key) <= _LONGEST:
            if len(self) >= _ENTRIES:
                self.clear()
            self[key] = value
        return value
