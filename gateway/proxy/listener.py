"""Listening sockets, and the way they close: without losing a request that is under way."""

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import Sequence
from typing import Any

from gateway.config.schema import Listener
from gateway.model.upstream import Address
from gateway.proxy.client import ClientConnection
from gateway.proxy.plane import DataPlane

_BACKLOG = 1024
_HANDSHAKE_TIME = 10.0
"""Seconds for a TLS handshake."""


def listening_socket(address: Address) -> socket.socket:
    """Return a bound, listening socket. Raises OSError. A Unix socket that a dead process left behind is replaced."""
    if address.path:
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISSOCK(os.stat(address.path).st_mode) and not _is_served(address.path):
                os.unlink(address.path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        target: str | tuple[str, int] = address.path
    else:
        host = address.host or "0.0.0.0"  # noqa: S104 - the address says so
        family, _, _, _, resolved = socket.getaddrinfo(host, address.port, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        target = (str(resolved[0]), int(resolved[1]))
    try:
        sock.bind(target)
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise OSError(error.errno, f"cannot listen on {address}: {error.strerror}") from error
    sock.setblocking(False)
    return sock


def _is_served(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(path) == 0


class Listeners:
    """All listeners of a process."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self._servers: list[asyncio.Server] = []
        self.sockets: list[socket.socket] = []

    async def open(self, listeners: Sequence[Listener]) -> None:
        """Bind every address, then take connections. Raises OSError before any is taken."""
        for listener in listeners:
            self.sockets.append(listening_socket(listener.address))
        for listener, sock in zip(listeners, self.sockets, strict=True):
            self._servers.append(await self._serve(listener, sock))

    async def _serve(self, listener: Listener, sock: socket.socket) -> asyncio.Server:
        plane, tls = self._plane, self._plane.snapshot.listener_tls.get(listener.address)

        def connection() -> ClientConnection:
            return ClientConnection(plane, secure=tls is not None)

        options: dict[str, Any] = {"backlog": _BACKLOG}
        if tls is not None:
            options |= {"ssl": tls, "ssl_handshake_timeout": _HANDSHAKE_TIME}
        if sock.family == socket.AF_UNIX:
            return await plane.loop.create_unix_server(connection, sock=sock, **options)
        return await plane.loop.create_server(connection, sock=sock, **options)

    async def drain(self, seconds: float) -> int:
        """Take no more connections, let requests under way finish, and return how many had to be cut."""
        plane = self._plane
        plane.is_draining = True
        for server in self._servers:
            server.close()
        for connection in list(plane.connections):
            connection.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await plane.empty.wait()
        left = list(plane.connections)
        for connection in left:
            connection.abort()
        for pool in plane.pools.values():
            pool.close()
        return len(left)
