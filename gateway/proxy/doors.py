"""Places for connections: how many each listener has, how many there are in all, and who makes room when none is free.

When all are taken, a new connection gets the place of the one that has waited longest for a whole request: idle ones,
ones that never sent a head, ones that send or read too slowly. Finding it means going through all connections, so those
that wait are remembered in their order, and looked for anew only after a while or after many were closed.
"""

import resource
from collections.abc import Callable, Iterable
from heapq import nsmallest
from math import inf
from time import monotonic
from typing import Final, Protocol

from gateway.model.errors import RequestLimit

_REST: Final = 100e-6
"""Seconds for each connection until those who wait are looked for anew, unless a good part of them had to leave.

To look at one takes about a hundredth of that.
"""
_LONGEST_REST: Final = 0.25
_SHARE: Final = 8
"""One in so many connections is remembered as waiting."""
_SPARE_FILES: Final = 128
"""Open files for everything that is not a client with its upstream."""


class Door:
    """One listener: what is in through it. Without a limit of its own, `most_…` is None."""

    most_connections: int | None = None
    most_requests: int | None = None
    is_bounded = False
    """Whether requests must be checked."""

    def __init__(self, name: str, hall: "Hall") -> None:
        self.name = name
        self.connections = 0
        self.requests = 0
        self._hall = hall
        self.room = Room(lambda: (each for each in hall.waiting() if each.door is self))

    def check(self) -> None:
        """Raise RequestLimit if one request too many is being answered."""
        if self.most_requests is not None and self.requests > self.most_requests:
            raise RequestLimit(f"{self.most_requests} requests of {self.name} are being answered")
        most = self._hall.most_requests
        if most is not None and self._hall.requests > most:
            raise RequestLimit(f"{most} requests are being answered")


class Waiting(Protocol):
    """What may have to leave."""

    @property
    def door(self) -> Door: ...
    def waiting_since(self) -> float:
        """Monotonic time; `inf` for what is of use."""

    def crowd_out(self) -> bool:
        """Leave. Returns False for what has just become of use."""


class Room:
    """Those who could leave, the longest waiting last."""

    def __init__(self, everyone: Callable[[], Iterable[Waiting]]) -> None:
        self._everyone = everyone
        self._waiting: list[Waiting] = []
        self._looked_at = self._rests_until = -inf
        self._left = self._least = 0

    def make(self, newcomer: Waiting) -> bool:
        """Close who has waited longest. Returns False when nobody waits but the newcomer."""
        if self._let_one_go():
            return True
        now = monotonic()
        if now < self._rests_until and self._left < self._least:
            return False
        self._look(now, newcomer)
        return self._let_one_go()

    def _let_one_go(self) -> bool:
        while self._waiting:
            longest = self._waiting.pop()
            has_waited = longest.waiting_since() <= self._looked_at  # it may have been of use since
            if has_waited and longest.crowd_out():
                self._left += 1
                return True
        return False

    def _look(self, now: float, newcomer: Waiting) -> None:
        everyone = [(each.waiting_since(), each) for each in self._everyone() if each is not newcomer]
        waiting = [pair for pair in everyone if pair[0] < now]
        self._least = len(everyone) // _SHARE + _SHARE
        self._waiting = [each for _, each in nsmallest(self._least, waiting, key=lambda pair: pair[0])][::-1]
        self._looked_at, self._left = now, 0
        self._rests_until = now + min(_LONGEST_REST, _REST * len(everyone))


class Hall:
    """All doors of a process."""

    most_requests: int | None = None

    def __init__(self, waiting: Callable[[], Iterable[Waiting]]) -> None:
        self.waiting = waiting
        self.doors: dict[str, Door] = {}
        self.most_connections = 1
        self.room = Room(waiting)

    @property
    def connections(self) -> int:
        return sum(door.connections for door in self.doors.values())

    @property
    def requests(self) -> int:
        return sum(door.requests for door in self.doors.values())

    def door(self, name: str) -> Door:
        """Return the door of a listener."""
        if name not in self.doors:
            self.doors[name] = Door(name, self)
        return self.doors[name]

    def limit(
        self, connections: int, requests: int | None, doors: Iterable[tuple[str, int | None, int | None]]
    ) -> None:
        """Set what is allowed: in all, and for each listener its name, its connections and its requests."""
        self.most_connections, self.most_requests = connections, requests
        for name, most_connections, most_requests in doors:
            door = self.door(name)
            door.most_connections, door.most_requests = most_connections, most_requests
            door.is_bounded = requests is not None or most_requests is not None

    def enter(self, newcomer: Waiting) -> bool:
        """Count a connection in, and make room for it. Returns False when it must be refused."""
        door = newcomer.door
        door.connections += 1
        while door.most_connections is not None and door.connections > door.most_connections:
            if not door.room.make(newcomer):
                return False
        while self.connections > self.most_connections:  # those who were refused stay for a moment, and count
            if not self.room.make(newcomer):
                return False
        return True

    def leave(self, leaver: Waiting) -> None:
        """Count a connection out."""
        leaver.door.connections -= 1

    def is_crammed(self, door: Door) -> bool:
        """Say whether there are so many beyond a limit that one more must not even be answered."""
        most = door.most_connections
        return _is_far_beyond(self.connections, self.most_connections) or (
            most is not None and _is_far_beyond(door.connections, most)
        )


def _is_far_beyond(number: int, most: int) -> bool:
    return number > most + most // 10 + 10


def affordable(connections: int) -> int:
    """Return how many of so many connections the limit of open files allows: each may need one to an upstream."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return connections
    return max(1, min(connections, (files - _SPARE_FILES) // 2))
