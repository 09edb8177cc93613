"""Opens sockets to the targets of an upstream, within a time, and counts what came of it."""

import asyncio
import errno
import socket
from time import monotonic
from typing import Any, Final

from gateway.config.compile_upstreams import Factory, UpstreamSpec
from gateway.model.errors import ConnectTimeout, UpstreamUnreachable
from gateway.model.upstream import TargetAddress
from gateway.proxy.names import Names

_OURS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})
"""What this host has run out of: no fault of the target's."""


class Connector:
    """Connects to the targets of one upstream."""

    def __init__(self, spec: UpstreamSpec, loop: asyncio.AbstractEventLoop) -> None:
        self._spec = spec
        self._loop = loop
        self._names = Names(loop)
        self.results = {"ok": 0, "refused": 0, "timeout": 0, "failed": 0}

    async def connect(self, factory: Factory, address: TargetAddress) -> None:
        """Connect, TLS included, within the upstream's time. Raises ConnectTimeout or UpstreamUnreachable."""
        try:
            await self.open(factory, address, self._spec.connect_timeout)
        except TimeoutError as error:
            self.results["timeout"] += 1
            raise ConnectTimeout(f"{address}: no connection within {self._spec.connect_timeout:g} s") from error
        except ConnectionRefusedError as error:
            self.results["refused"] += 1
            raise UpstreamUnreachable(f"{address}: connection refused") from error
        except OSError as error:
            self.results["failed"] += 1
            raise UpstreamUnreachable(f"{address}: {error}") from error
        self.results["ok"] += 1

    async def open(self, factory: Factory, address: TargetAddress, seconds: float) -> None:
        """Connect, TLS included, within a time. Raises OSError."""
        async with asyncio.timeout(seconds):
            if address.scheme == "inside":
                transport = self._spec.inside(factory)
            elif address.address.path:
                transport, _ = await self._loop.create_unix_connection(factory, address.address.path)
            else:
                transport = await self._open_tcp(factory, address, monotonic() + seconds)
        if transport.is_closing():
            raise ConnectionAbortedError("closed at once")

    async def _open_tcp(self, factory: Factory, target: TargetAddress, deadline: float) -> asyncio.Transport:
        host, port = target.address.host, target.address.port
        tls: dict[str, Any] = {}
        if target.scheme == "https":
            tls = {"ssl": self._spec.tls, "server_hostname": self._spec.server_name or host}
        addresses = await self._names.addresses(host)
        if len(addresses) == 1:
            transport, _ = await self._loop.create_connection(factory, addresses[0], port, **tls)
            return transport
        sock = await self._reach(addresses, port, deadline)
        try:
            transport, _ = await self._loop.create_connection(factory, sock=sock, **tls)
        except BaseException:
            sock.close()
            raise
        return transport

    async def _reach(self, addresses: list[str], port: int, deadline: float) -> socket.socket:
        """Return a socket that is connected to one of the addresses: each gets its share of the time."""
        last: OSError = OSError("no address")
        for tried, address in enumerate(addresses):
            share = (deadline - monotonic()) / (len(addresses) - tried)
            try:
                async with asyncio.timeout(share):
                    return await self._connected(address, port)
            except OSError as error:
                self._names.failed(address)
                last = error
        raise last

    async def _connected(self, address: str, port: int) -> socket.socket:
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            await self._loop.sock_connect(sock, (address, port))
        except BaseException:
            sock.close()
            raise
        return sock


def is_fault_of_target(error: Exception) -> bool:
    """Say whether a target is to blame that no connection could be made to it."""
    cause = error.__cause__
    return not (isinstance(cause, OSError) and cause.errno in _OURS)
