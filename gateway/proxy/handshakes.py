"""Keeps the kernel from letting new TCP connections into the queue of a listening socket.

So that the queue can be emptied for good before the socket is closed: what is in it then is reset.
"""

import contextlib
import ctypes
import socket
import struct
import sys

_SO_ATTACH_FILTER = 26
_NO_MORE_HANDSHAKES = (
    (0x30, 0, 0, 13),  # load the byte with the flags of the TCP header
    (0x45, 0, 1, 0x02),  # is it SYN?
    (0x06, 0, 0, 0),  # drop it
    (0x06, 0, 0, 0xFFFF),  # else take it
)
"""A classic BPF program, as in the manual page socket(7)."""


def refuse_handshakes(sock: socket.socket) -> None:
    """From now on let the kernel ignore new connections, so that the queue can be emptied for good.

    Whoever tries meanwhile tries again a second later. Elsewhere than on Linux, a connection that is made between the
    last look at the queue and the close is reset.
    """
    if sys.platform != "linux" or sock.family == socket.AF_UNIX:
        return
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in _NO_MORE_HANDSHAKES))
    with contextlib.suppress(OSError):
        sock.setsockopt(
            socket.SOL_SOCKET,
            _SO_ATTACH_FILTER,
            struct.pack("HL", len(_NO_MORE_HANDSHAKES), ctypes.addressof(program)),
        )
