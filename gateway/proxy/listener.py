"""Listening sockets, and the way they close: without losing a connection that a client believes to have."""

import asyncio
import contextlib
import errno
import os
import socket
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

from gateway.config.listeners import Listener
from gateway.model.upstream import Address
from gateway.proxy.client import ClientConnection
from gateway.proxy.handshakes import ROUND_TRIP, refuse_handshakes
from gateway.proxy.pace import bound_buffers
from gateway.proxy.plane import DataPlane
from gateway.proxy.tls_entrance import TlsEntrance

BACKLOG: Final = 1024
_HANDSHAKE_PATIENCE: Final = 2.0
"""Seconds that a drain grants to those under way."""


def listening_socket(address: Address, *, shares_port: bool = False) -> socket.socket:
    """Return a bound, listening socket. Raises OSError. A Unix socket that a dead process left behind is replaced.

    `shares_port`: others of the same user can be bound to the port beside this one (`SO_REUSEPORT`); it is still an
    error that the address is taken already.
    """
    sock = bound_socket(address)
    try:
        sock.listen(BACKLOG)
        if shares_port and not address.path:  # not before: two that start at once would both be let in
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except OSError as error:
        sock.close()
        raise _cannot_listen(address, error) from error
    return sock


def bound_socket(address: Address, *, beside_others: bool = False) -> socket.socket:
    """Return a socket that is bound and does not listen yet; `beside_others` that share the port. Raises OSError."""
    target: str | tuple[str, int]
    if address.path:
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISSOCK(os.stat(address.path).st_mode) and _is_abandoned(address.path):
                os.unlink(address.path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        target = address.path
    else:
        family, target = resolved(address)
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if beside_others:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        sock.bind(target)
    except OSError as error:
        sock.close()
        raise _cannot_listen(address, error) from error
    sock.setblocking(False)
    return sock


def resolved(address: Address) -> tuple[int, tuple[str, int]]:
    """Return the family, and the numeric host and port. Raises OSError."""
    host = address.host or "0.0.0.0"  # noqa: S104 - the address says so
    try:
        family, _, _, _, found = socket.getaddrinfo(host, address.port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise _cannot_listen(address, error) from error
    return family, (str(found[0]), int(found[1]))


def _cannot_listen(address: Address, error: OSError) -> OSError:
    return OSError(error.errno, f"cannot listen on {address}: {error.strerror or error}")


def _is_abandoned(path: str) -> bool:
    """Say whether nobody listens there. What may not be asked, or has a full queue, or is of another kind is served."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        return probe.connect_ex(path) == errno.ECONNREFUSED


class Listeners:
    """All listeners of a process."""

    def __init__(self, plane: DataPlane, inherited: Mapping[Address, socket.socket] | None = None) -> None:
        """`inherited` are listening already, and other processes may listen on them too."""
        self._plane = plane
        self._inherited = inherited or {}
        self._listeners: Sequence[Listener] = ()
        self._entrances: list[_Entrance] = []
        self._adopted: dict[int, list[_Entrance]] = {}
        """By the number of another process, those to its sockets."""
        self._left: list[_Entrance] = []
        """Those that are not used any more, and have handshakes under way."""
        self._turn = asyncio.Lock()
        self._is_closed = False
        self._welcomes: set[asyncio.Task[None]] = set()
        self.sockets: list[socket.socket] = []

    async def open(self, listeners: Sequence[Listener]) -> None:
        """Bind every address, then take connections. Raises OSError before any is taken."""
        try:
            for listener in listeners:
                inherited = self._inherited.get(listener.address)
                self.sockets.append(listening_socket(listener.address) if inherited is None else inherited.dup())
        except OSError:
            for sock in self.sockets:
                sock.close()
            raise
        self._listeners = listeners
        for listener, sock in zip(listeners, self.sockets, strict=True):
            entrance = _Entrance(self._plane, listener, sock, is_shared=listener.address in self._inherited)
            self._entrances.append(entrance)
            await entrance.open()

    async def adopt(self, number: int, sockets: Mapping[Address, socket.socket]) -> None:
        """Take connections of another process from its `sockets` as well, until `leave` or the end."""
        async with self._turn:
            if self._is_closed or number in self._adopted:
                return
            entrances = self._adopted[number] = []
            for listener in self._listeners:
                if (sock := sockets.get(listener.address)) is not None:
                    entrance = _Entrance(self._plane, listener, sock.dup(), is_shared=True)
                    entrances.append(entrance)
                    await entrance.open()

    async def leave(self, number: int) -> None:
        """Take no more of these. Those that wait in the queue are for others."""
        async with self._turn:
            for entrance in self._adopted.pop(number, ()):
                entrance.stop()
                entrance.release()
                self._left.append(entrance)
            self._left = [entrance for entrance in self._left if entrance.is_shaking]

    async def close(self) -> None:
        """Take the connections that wait in the queues, and no more."""
        half_way = [entrance for entrance in self._entrances if entrance.refuse_handshakes()]
        if half_way:
            await asyncio.sleep(ROUND_TRIP)
        async with self._turn:
            self._is_closed = True
        for entrance in self._all():
            for sock in entrance.close():
                self._welcomes.add(self._plane.loop.create_task(entrance.welcome(sock)))
            entrance.release()

    async def welcomed(self) -> None:
        """Wait until every connection that was taken belongs to the data plane, or has failed."""
        if self._welcomes:
            await asyncio.wait(self._welcomes)
        await asyncio.gather(*(entrance.shaken() for entrance in (*self._all(), *self._left)))

    def _all(self) -> list["_Entrance"]:
        return [*self._entrances, *(each for entrances in self._adopted.values() for each in entrances)]


class _Entrance:
    """One listening socket, and who comes in there."""

    def __init__(self, plane: DataPlane, listener: Listener, sock: socket.socket, *, is_shared: bool) -> None:
        self._plane = plane
        self._sock = sock
        self._is_shared = is_shared
        self._door = plane.hall.door(str(listener.address))
        self._server: asyncio.Server | None = None
        self._tls: TlsEntrance | None = None
        if listener.tls is not None:
            self._tls = TlsEntrance(plane, self._door, lambda: plane.snapshot.listener_tls[listener.address].context)

    def _connection(self) -> asyncio.Protocol:
        return cast(asyncio.Protocol, ClientConnection(self._plane, secure=False, door=self._door))

    async def open(self) -> None:
        """Take connections."""
        bound_buffers(self._sock, self._plane.timeouts.body)
        if self._tls is not None:
            self._tls.open(self._sock)
            return
        loop, sock = self._plane.loop, self._sock.dup()  # the server closes its own descriptor
        options: dict[str, Any] = {"backlog": BACKLOG}
        if sock.family != socket.AF_UNIX:
            self._server = await loop.create_server(self._connection, sock=sock, **options)
            return
        if sys.version_info >= (3, 13):
            options["cleanup_socket"] = False  # another process may listen there
        self._server = await loop.create_unix_server(self._connection, sock=sock, **options)

    def refuse_handshakes(self) -> bool:
        """Let no new connections into the queue. Returns True where some may be half-way there."""
        return not self._is_shared and refuse_handshakes(self._sock)

    def stop(self) -> None:
        """Take no more connections."""
        if self._server is not None:
            self._server.close()
        if self._tls is not None:
            self._tls.close()

    def release(self) -> None:
        """Give the socket back."""
        self._sock.close()

    def close(self) -> Iterator[socket.socket]:
        """Stop, and yield the connections that nobody has taken yet."""
        self.stop()
        with contextlib.suppress(OSError):  # BlockingIOError: the queue is empty
            while True:
                sock, _ = self._sock.accept()
                sock.setblocking(False)
                yield sock

    async def welcome(self, sock: socket.socket) -> None:
        """Serve a connection that was taken."""
        if self._tls is not None:
            self._tls.begin(sock)
        else:
            with contextlib.suppress(OSError):  # the client left
                await self._plane.loop.connect_accepted_socket(self._connection, sock)

    @property
    def is_shaking(self) -> bool:
        return self._tls is not None and self._tls.is_busy

    async def shaken(self) -> None:
        """Wait until no TLS handshake is under way any more."""
        if self._tls is not None:
            await self._tls.over(_HANDSHAKE_PATIENCE)
