"""One Redis server, and the connections to it.

A connection carries one exchange at a time: some commands, then as many replies. One that was broken off, by an error,
a deadline or a cancellation, is closed and never used again: the next reader would take an old reply for its own. All
that this gateway sends may be repeated, so an exchange that failed on a used connection is tried again on a new one.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import ConnectionError, ResponseError  # noqa: A004

CONNECTIONS = 32
"""At most so many to one server; further exchanges wait for a free one."""

Words = Sequence[bytes | str | int]
"""A command."""
Reply = Any
"""What the server answered, in bytes, ints, lists and None; an error reply is a ResponseError."""
Ask = Callable[[Sequence[Words]], Awaitable[list[Reply]]]
"""Send commands and return their replies."""
Address = tuple[str, int] | str
"""Host and port, or the path of a Unix socket."""


@dataclass(frozen=True, slots=True)
class Dialling:
    """How connections are made."""

    timeout: float
    credentials: CredentialProvider | None = None
    tls: ssl.SSLContext | None = None
    db: int = 0

    def connection(self, address: Address) -> AbstractConnection:
        """Return a connection that is not made yet. It never tries again by itself."""
        common: dict[str, Any] = {
            "db": self.db,
            "credential_provider": self.credentials,
            "socket_timeout": self.timeout,
            "socket_connect_timeout": self.timeout,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
            "driver_info": None,
        }
        if isinstance(address, str):
            return UnixDomainSocketConnection(path=address, **common)
        host, port = address
        if self.tls is None:
            return Connection(host=host, port=port, **common)
        connection = SSLConnection(host=host, port=port, **common)
        connection.ssl_context.context = self.tls
        return connection


class Node:
    """A server. `is_primary` lets a server that says it is a replica count as unreachable."""

    def __init__(self, address: Address, dialling: Dialling, *, is_primary: bool = False) -> None:
        self.address = address
        self._dialling = dialling
        self._is_primary = is_primary
        self._free = asyncio.Semaphore(CONNECTIONS)
        self._idle: list[AbstractConnection] = []
        self._is_closed = False

    @property
    def name(self) -> str:
        return self.address if isinstance(self.address, str) else f"{self.address[0]}:{self.address[1]}"

    async def ask(self, commands: Sequence[Words]) -> list[Reply]:
        """Send commands on one connection, and return their replies. Raises RedisError or OSError."""
        async with self._free:
            while True:
                is_new = not self._idle
                connection = self._dialling.connection(self.address) if is_new else self._idle.pop()
                try:
                    replies = await self._exchange(connection, commands)
                except BaseException as error:
                    await connection.disconnect(nowait=True)
                    if is_new or not isinstance(error, ConnectionError):
                        raise
                    continue
                await self._put_back(connection)
                return replies

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[Ask]:
        """Give a connection of one's own, for what must be asked of one and the same run of the server.

        After an exception it must not be used again.
        """
        async with self._free:
            connection = self._dialling.connection(self.address)
            try:
                yield lambda commands: self._exchange(connection, commands)
            finally:
                await connection.disconnect(nowait=True)

    async def close(self) -> None:
        """Close the connections that are not in use, and the others when they are done."""
        self._is_closed = True
        await self.close_idle()

    async def close_idle(self) -> None:
        """Close the connections that are not in use, without waiting for the server."""
        while self._idle:
            await self._idle.pop().disconnect(nowait=True)

    async def _put_back(self, connection: AbstractConnection) -> None:
        if self._is_closed:
            await connection.disconnect(nowait=True)
        else:
            self._idle.append(connection)

    async def _exchange(self, connection: AbstractConnection, commands: Sequence[Words]) -> list[Reply]:
        if not connection.is_connected:
            await connection.connect()  # type: ignore[no-untyped-call]
            await self._check_role(connection)
        await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
        return [await _read(connection) for _ in commands]

    async def _check_role(self, connection: AbstractConnection) -> None:
        if not self._is_primary:
            return
        await connection.send_packed_command(connection.pack_command("ROLE"), check_health=False)
        role = await _read(connection)
        if not isinstance(role, ResponseError) and role[0] != b"master":
            raise ConnectionError(f"{self.name} is not the primary any more")


async def _read(connection: AbstractConnection) -> Reply:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error
