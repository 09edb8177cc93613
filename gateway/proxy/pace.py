"""How far behind a client is that must send or take bytes at a certain speed.

Nobody has to be fast all the time: a client may fall behind by some seconds, and makes up for them with every byte. But
bytes that came ahead of time are not saved for later, so that a quick beginning does not buy a slow end.
"""

import socket
import struct
from typing import Final

_LONGEST: Final = 1.0
"""Seconds that one look may count: whoever looks more seldom was not waiting for the client all the time."""
_ACKNOWLEDGED_AT: Final = 120
"""Where Linux's `struct tcp_info` has `tcpi_bytes_acked`."""
_NOT_SENT: Final = 128 * 1024
"""Bytes of an answer that the kernel may hold for a client beyond what is on its way; else it takes megabytes."""
_TCP_NOTSENT_LOWAT: Final = getattr(socket, "TCP_NOTSENT_LOWAT", 25)
_LONGER: Final = 5.0


class Pace:
    """One direction of a connection. Times are monotonic, `total` is how many bytes there were so far."""

    __slots__ = ("_at", "_total", "behind", "moved")

    def __init__(self, now: float, total: int) -> None:
        self._at = now
        self._total = total
        self.behind = 0.0
        """Seconds."""
        self.moved = 0
        """Bytes between the last two looks."""

    @property
    def slow_since(self) -> float:
        return self._at - self.behind

    def look(self, total: int, now: float, rate: int, *, counts: bool = True) -> float:
        """Return how many seconds the client is behind `rate` bytes a second; without a rate, for how long it has been
        silent. The time since the last look counts unless others than the client were to blame.
        """
        self.moved, self._total = total - self._total, total
        waited, self._at = (min(now - self._at, _LONGEST) if counts else 0.0), now
        if rate:
            self.behind = max(0.0, self.behind + waited - self.moved / rate)
        else:
            self.behind = 0.0 if self.moved else self.behind + waited
        return self.behind


def acknowledged(sock: socket.socket | None) -> int | None:
    """Return how many bytes the other side of a TCP connection has taken, or None where nobody knows.

    What was written is not it: the kernel takes megabytes for a client that reads nothing.
    """
    if sock is None or sock.family == socket.AF_UNIX or not hasattr(socket, "TCP_INFO"):
        return None
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACKNOWLEDGED_AT + 8)
    if len(info) < _ACKNOWLEDGED_AT + 8:
        return None
    taken: int = struct.unpack_from("=Q", info, _ACKNOWLEDGED_AT)[0]
    return taken


def bound_buffers(listening: socket.socket, patience: float) -> None:
    """Bound what the kernel holds for the clients of a listening socket, and how long it tries to deliver that, also
    after the connection was closed: a bit longer than `patience` seconds, so that who notices first is the gateway.
    """
    if listening.family == socket.AF_UNIX or not hasattr(socket, "TCP_USER_TIMEOUT"):
        return
    listening.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, _NOT_SENT)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int((patience + _LONGER) * 1000))
