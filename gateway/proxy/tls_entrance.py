"""TLS handshakes of clients: bounded in time, and each has a place like any other connection.

`create_server` would not do: of a handshake under way nobody would know, so nobody could count it or end it. Each one
takes the certificate that is in use when it begins.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from time import monotonic
from typing import Final, cast

from gateway.proxy.client import ClientConnection
from gateway.proxy.cuts import Cut
from gateway.proxy.doors import Door
from gateway.proxy.plane import DataPlane

_AT_ONCE: Final = 64
"""Connections taken before others have their turn."""
_EARLY: Final = 0.05
"""Seconds that a timer may be early."""
_NO_FILES: Final = 1.0
"""Seconds to wait when no connection can be taken, for want of files or memory."""


class Handshake:
    """One that is under way."""

    def __init__(self, connection: ClientConnection) -> None:
        self.door = connection.door
        self.connection = connection
        """What it will be when it has succeeded."""
        self.began_at = monotonic()
        self._cuts = connection.plane.cuts
        self.task: asyncio.Task[None]
        self.has_socket = True

    def waiting_since(self) -> float:
        return self.began_at

    def crowd_out(self) -> bool:
        """Make room for another, unless it is over."""
        if self.connection.handshake is None:
            return False
        self.connection.handshake = None
        self.connection.plane.shaken(self)
        self._cuts.add(Cut.CROWDED_OUT)
        self.task.cancel()
        return True


class TlsEntrance:
    """The handshakes of one listener. `tls` gives what to use for the next one."""

    def __init__(self, plane: DataPlane, door: Door, tls: Callable[[], ssl.SSLContext]) -> None:
        self._plane = plane
        self._door = door
        self._tls = tls
        self._sock: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self, sock: socket.socket) -> None:
        """Take connections from a listening socket."""
        self._sock = sock
        self._plane.loop.add_reader(sock, self._accept)

    def close(self) -> None:
        """Take no more; those under way go on."""
        if self._sock is not None:
            self._plane.loop.remove_reader(self._sock)
            self._sock = None

    def _accept(self) -> None:
        assert self._sock is not None
        for _ in range(_AT_ONCE):
            try:
                sock, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause(self._sock, error)
                return
            sock.setblocking(False)
            self.begin(sock)

    def _pause(self, listening: socket.socket, error: OSError) -> None:
        loop = self._plane.loop
        loop.call_exception_handler({"message": "no connection can be taken", "exception": error})
        loop.remove_reader(listening)
        loop.call_later(_NO_FILES, lambda: self.open(listening) if self._sock is listening else None)

    def begin(self, sock: socket.socket) -> None:
        """Give a connection that was taken a place, and begin; or close it."""
        connection = ClientConnection(self._plane, secure=True, door=self._door)
        handshake = Handshake(connection)
        if not self._plane.shaking(handshake):
            self._plane.shaken(handshake)
            self._plane.cuts.add(Cut.REFUSED)
            sock.close()
            return
        connection.handshake = handshake
        handshake.task = self._plane.loop.create_task(self._lead(handshake, connection, sock))
        self._tasks.add(handshake.task)
        handshake.task.add_done_callback(lambda _: self._is_over(handshake, connection, sock))

    async def _lead(self, handshake: Handshake, connection: ClientConnection, sock: socket.socket) -> None:
        patience = self._plane.timeouts.open
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        handshake.has_socket = False
        with contextlib.suppress(OSError):  # it failed, or the client left
            await self._plane.loop.connect_accepted_socket(
                lambda: cast(asyncio.Protocol, connection), sock, ssl=self._tls(), ssl_handshake_timeout=patience
            )
        if connection.handshake is not None and monotonic() - handshake.began_at >= patience - _EARLY:
            self._plane.cuts.add(Cut.HANDSHAKE)

    def _is_over(self, handshake: Handshake, connection: ClientConnection, sock: socket.socket) -> None:
        self._tasks.discard(handshake.task)
        if handshake.has_socket:  # it was ended before it began
            sock.close()
        if connection.handshake is not None:
            self._plane.shaken(handshake)

    @property
    def is_busy(self) -> bool:
        return bool(self._tasks)

    async def over(self, patience: float) -> None:
        """Wait a while until none is under way; end the others."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=patience)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
