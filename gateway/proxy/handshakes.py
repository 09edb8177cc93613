"""Keeps the kernel from letting new TCP connections into the queue of a listening socket.

So that the queue can be emptied for good before the socket is closed: what is in it then is reset.
"""

import contextlib
import ctypes
import socket
import struct
import sys
from typing import Final

from gateway.model.host import is_loopback

ROUND_TRIP: Final = 0.2
"""Seconds for the last packet of a connection that is being made over a network."""
_SO_ATTACH_FILTER: Final = 26
_NO_MORE_HANDSHAKES: Final = (
    (0x30, 0, 0, 13),  # load the byte with the flags of the TCP header
    (0x45, 0, 1, 0x02),  # is it SYN?
    (0x06, 0, 0, 0),  # drop it
    (0x06, 0, 0, 0xFFFF),  # else take it
)
"""A classic BPF program, as in the manual page socket(7)."""


def refuse_handshakes(sock: socket.socket) -> bool:
    """From now on let the kernel ignore new connections, so that the queue can be emptied for good. Returns True where
    some may be half-way there: they come within ROUND_TRIP.

    Whoever tries meanwhile tries again a second later. Elsewhere than on Linux, a connection that is made between the
    last look at the queue and the close is reset.
    """
    if sock.family == socket.AF_UNIX:
        return False
    if sys.platform == "linux":
        _attach_filter(sock)
    return not is_loopback(sock.getsockname()[0])


def _attach_filter(sock: socket.socket) -> None:
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in _NO_MORE_HANDSHAKES))
    with contextlib.suppress(OSError):
        sock.setsockopt(
            socket.SOL_SOCKET,
            _SO_ATTACH_FILTER,
            struct.pack("HL", len(_NO_MORE_HANDSHAKES), ctypes.addressof(program)),
        )
