"""A listener of an aiohttp application with TLS: each handshake takes what is in use when it begins, and has an end.

aiohttp by itself would keep the certificate that it began with, and of handshakes under way nobody would know: so
nobody could bound how many there are.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

Tls = Callable[[], ssl.SSLContext]
"""Gives what to use for the next handshake."""

_AT_ONCE: Final = 16
"""Connections taken before others have their turn."""
_PATIENCE: Final = 10.0
"""Seconds for a handshake."""
_NO_FILES: Final = 1.0
"""Seconds to wait when no connection can be taken, for want of files or memory."""


@dataclass(frozen=True, slots=True)
class _Handshake:
    sock: socket.socket
    connection: web.RequestHandler
    """What it will be when it has succeeded."""

    @property
    def is_under_way(self) -> bool:
        return self.connection.transport is None


class TlsSite(web.BaseSite):
    """Takes over a listening socket. There are `most` connections, handshakes included: for one more, the handshake
    that began first has to go; without one, the newcomer. So nobody who cannot end a handshake keeps others out."""

    def __init__(self, runner: web.AppRunner, sock: socket.socket, tls: Tls, most: int | None) -> None:
        super().__init__(runner)
        self._sock = sock
        self._tls = tls
        self._most = most
        self._handshakes: dict[asyncio.Task[None], _Handshake] = {}
        self._taken: set[socket.socket] = set()
        """Connections whose handshake has not begun."""

    @property
    def name(self) -> str:
        return f"https:{self._sock.getsockname()}"

    async def start(self) -> None:
        await super().start()
        self._sock.setblocking(False)
        self._take()

    async def stop(self) -> None:
        asyncio.get_running_loop().remove_reader(self._sock)
        self._sock.close()
        for task in self._handshakes:
            task.cancel()
        if self._handshakes:
            await asyncio.wait(self._handshakes)
        await super().stop()

    def _take(self) -> None:
        if self._sock.fileno() != -1:
            asyncio.get_running_loop().add_reader(self._sock, self._accept)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                sock, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause(error)
                return
            if self._has_room():
                self._begin(sock)
            else:
                sock.close()

    def _pause(self, error: OSError) -> None:
        loop = asyncio.get_running_loop()
        loop.call_exception_handler({"message": "no connection can be taken", "exception": error})
        loop.remove_reader(self._sock)
        loop.call_later(_NO_FILES, self._take)

    def _has_room(self) -> bool:
        """Make room for one more. Returns False where nobody can go."""
        waiting = [task for task, each in self._handshakes.items() if each.is_under_way and not task.cancelling()]
        if self._most is None or len(waiting) + len(self._server_of_all.connections) < self._most:
            return True
        return bool(waiting) and waiting[0].cancel()

    @property
    def _server_of_all(self) -> web.Server:
        server = self._runner.server
        assert server is not None
        return server

    def _begin(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        handshake = _Handshake(sock, self._server_of_all())
        self._taken.add(sock)
        task = asyncio.get_running_loop().create_task(self._lead(handshake))
        self._handshakes[task] = handshake
        task.add_done_callback(self._is_over)

    async def _lead(self, handshake: _Handshake) -> None:
        self._taken.discard(handshake.sock)
        with contextlib.suppress(OSError):  # it failed, or the client left
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: handshake.connection, handshake.sock, ssl=self._tls(), ssl_handshake_timeout=_PATIENCE
            )

    def _is_over(self, task: asyncio.Task[None]) -> None:
        sock = self._handshakes.pop(task).sock
        if sock in self._taken:
            self._taken.discard(sock)
            sock.close()
