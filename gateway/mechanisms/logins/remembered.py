"""Memory within bounds: what was not used for longest is forgotten first."""

from collections import OrderedDict
from typing import Generic, TypeVar

V = TypeVar("V")


class Recent(Generic[V]):
    """A mapping that forgets what was not used for longest."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._values: OrderedDict[bytes, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: bytes) -> V | None:
        if (value := self._values.get(key)) is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: bytes, value: V) -> None:
        self._values[key] = value
        self._values.move_to_end(key)
        while len(self._values) > self.size:
            self._values.popitem(last=False)

    def drop(self, key: bytes) -> None:
        self._values.pop(key, None)


class Leaks:
    """Counts that go down by one every `recovery` seconds, and never above `most`."""

    def __init__(self, size: int, recovery: float, most: float) -> None:
        self._counts: Recent[tuple[float, float]] = Recent(size)
        self.adapt(size, recovery, most)

    def adapt(self, size: int, recovery: float, most: float) -> None:
        """Go by other bounds from now on."""
        self._recovery = recovery
        self._most = most
        self._counts.size = size

    def __len__(self) -> int:
        return len(self._counts)

    def level(self, key: bytes, now: float) -> float:
        count, at = self._counts.get(key) or (0.0, now)
        return max(0.0, count - (now - at) / self._recovery)

    def add(self, key: bytes, change: int, now: float) -> None:
        level = min(self._most, max(0.0, self.level(key, now) + change))
        if level > 0:
            self._counts.put(key, (level, now))
        else:
            self._counts.drop(key)
