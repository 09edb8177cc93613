"""Connections to a server in this process: what one side writes the other one reads, and the kernel has no part in it.

The gateway's own routes are reached this way: by the proxy, and by nobody else.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Any, Final, cast

from gateway.config.compile_upstreams import Factory, nobody_inside

_HIGH: Final = 64 * 1024
"""Bytes that wait to be read: with more of them, who writes is asked to pause until they are."""


class Inside:
    """A place in this process. Assign `server` for as long as somebody serves there."""

    def __init__(self) -> None:
        self.server: Factory | None = None

    def connect(self, client: Factory) -> asyncio.Transport:
        """Connect a client's protocol to one of the server's. Raises ConnectionRefusedError if nobody serves."""
        if self.server is None:
            return nobody_inside(client)
        loop = asyncio.get_running_loop()
        near, far = End(loop, client()), End(loop, self.server())
        near.other, far.other = far, near
        for end in (far, near):
            end.protocol.connection_made(cast(asyncio.Transport, end))
        return cast(asyncio.Transport, near)


class End:
    """One end of a connection, with what the other end wrote and this one's protocol has not read yet.

    An asyncio.Transport in all but name: a class compiled by mypyc has no base that is not. Like a real one it calls
    its protocol from the event loop; while that is in `write`, with nothing but `pause_writing`.
    """

    other: "End"

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: asyncio.Protocol) -> None:
        self.protocol = protocol
        self._loop = loop
        self._unread: deque[bytes] = deque()
        self._size = 0
        self._is_read = True
        """Whether the protocol wants to read."""
        self._is_woken = False
        self._is_blocked = False
        """Whether the protocol has been asked to pause writing."""
        self._is_closed = False

    # --- what a protocol asks of its transport

    def write(self, data: bytes | bytearray | memoryview) -> None:
        other = self.other
        if self._is_closed or not data:
            return
        if other._is_closed:
            if not self._unread:  # else its last words come first
                self._close(BrokenPipeError("the other end is closed"))
            return
        piece = data if type(data) is bytes else bytes(data)
        other._unread.append(piece)
        other._size += len(piece)
        other._wake()
        if other._size > _HIGH and not self._is_blocked:
            self._is_blocked = True
            self.protocol.pause_writing()

    def writelines(self, pieces: "Iterable[bytes | bytearray | memoryview]") -> None:
        self.write(b"".join(pieces))

    def can_write_eof(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return self.other._size

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def pause_reading(self) -> None:
        self._is_read = False

    def resume_reading(self) -> None:
        if not self._is_read:
            self._is_read = True
            self._wake()

    def is_reading(self) -> bool:
        return self._is_read and not self._is_closed

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = cast(asyncio.Protocol, protocol)

    def is_closing(self) -> bool:
        return self._is_closed

    def close(self) -> None:
        """Close. The other end will read what was written."""
        self._close(None)

    def abort(self) -> None:
        self._close(None)

    # --- what comes from the other end

    def _wake(self) -> None:
        if not self._is_woken:
            self._is_woken = True
            self._loop.call_soon(self._read)

    def _read(self) -> None:
        self._is_woken = False
        unread, other = self._unread, self.other
        while unread and self._is_read and not self._is_closed:
            data = unread.popleft() if len(unread) == 1 else b"".join(unread)
            unread.clear()
            self._size = 0
            self._hand_over(data)
        if self._is_closed:
            return
        if other._is_blocked and not unread and not other._is_closed:
            other._is_blocked = False
            other.protocol.resume_writing()
        if other._is_closed and self._is_read and not unread:
            try:
                self.protocol.eof_received()
            finally:
                self._close(None)

    def _hand_over(self, data: bytes) -> None:
        try:
            self.protocol.data_received(data)
        except Exception as error:  # noqa: BLE001 - a bug of the protocol's ends its connection, and is told
            self._loop.call_exception_handler({"message": "a protocol failed", "exception": error})
            self._close(error)

    def _close(self, error: Exception | None) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self._unread.clear()
        self._size = 0
        self._loop.call_soon(self._lost, error)

    def _lost(self, error: Exception | None) -> None:
        try:
            self.protocol.connection_lost(error)
        finally:
            if self.other._is_blocked:
                self.other._close(BrokenPipeError("the other end is closed"))  # what it wrote will never be read
            self.other._wake()
