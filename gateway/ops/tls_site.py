"""A listener of an aiohttp application with TLS: each handshake takes what is in use when it begins, and has an end.

aiohttp by itself would keep the certificate that it began with, and of handshakes under way nobody would know: so
nobody could bound how many there are.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
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


class TlsSite(web.BaseSite):
    """Takes over a listening socket. Beyond `most` connections, handshakes included, they are closed."""

    def __init__(self, runner: web.AppRunner, sock: socket.socket, tls: Tls, most: int | None) -> None:
        super().__init__(runner)
        self._sock = sock
        self._tls = tls
        self._most = most
        self._handshakes: set[asyncio.Task[None]] = set()
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
        for handshake in self._handshakes:
            handshake.cancel()
        if self._handshakes:
            await asyncio.wait(self._handshakes)
        for sock in self._taken:
            sock.close()
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
            if self._is_full:
                sock.close()
                continue
            sock.setblocking(False)
            self._taken.add(sock)
            handshake = asyncio.get_running_loop().create_task(self._lead(sock))
            self._handshakes.add(handshake)
            handshake.add_done_callback(self._handshakes.discard)

    @property
    def _is_full(self) -> bool:
        server = self._runner.server
        assert server is not None
        return self._most is not None and len(self._handshakes) + len(server.connections) >= self._most

    def _pause(self, error: OSError) -> None:
        loop = asyncio.get_running_loop()
        loop.call_exception_handler({"message": "no connection can be taken", "exception": error})
        loop.remove_reader(self._sock)
        loop.call_later(_NO_FILES, self._take)

    async def _lead(self, sock: socket.socket) -> None:
        server = self._runner.server
        assert server is not None
        self._taken.discard(sock)
        with contextlib.suppress(OSError):  # it failed, or the client left
            await asyncio.get_running_loop().connect_accepted_socket(
                server, sock, ssl=self._tls(), ssl_handshake_timeout=_PATIENCE
            )
