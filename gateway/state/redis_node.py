"""One Redis server, and the connections to it.

A connection of the pool carries one exchange at a time: some commands, then as many replies. One that was broken off,
by an error, a deadline or a cancellation, is closed and never used again: the next reader would take an old reply for
its own. All that this gateway sends may be repeated, so an exchange that failed on a used connection is tried again on
a new one. What never makes the server wait may go over the line, one connection for all; what waits would hold it up.

The library has no deadlines of its own: two that end at the same moment leave a cancellation behind.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from hiredis import pack_command
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import ConnectionError, ResponseError  # noqa: A004

from gateway.state.redis_line import Line, Reply

CONNECTIONS = 32
"""At most so many to one server; further exchanges wait for a free one."""

Words = tuple[bytes | str | int, ...]
"""A command."""
Ask = Callable[[Sequence[bytes]], Awaitable[list[Reply]]]
"""Send commands and return their replies."""
Address = tuple[str, int] | str
"""Host and port, or the path of a Unix socket."""


@dataclass(frozen=True, slots=True)
class Dialling:
    """How connections are made. `timeout` is how long a reply may take on a line."""

    timeout: float
    credentials: CredentialProvider | None = None
    tls: ssl.SSLContext | None = None
    db: int = 0

    def connection(self, address: Address) -> AbstractConnection:
        """Return a connection that is not made yet. It never tries again by itself."""
        common: dict[str, Any] = {
            "db": self.db,
            "credential_provider": self.credentials,
            "socket_timeout": None,
            "socket_connect_timeout": None,
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
        self._line: Line | None = None
        self._wants_line = False
        self._is_closed = False

    @property
    def name(self) -> str:
        return self.address if isinstance(self.address, str) else f"{self.address[0]}:{self.address[1]}"

    def line(self) -> Line | None:
        """Return the line. If there is none, the next connection that is free becomes one."""
        line = self._line
        if line is not None and line.is_open:
            return line
        self._wants_line = not self._is_closed
        return None

    async def ask(self, commands: Sequence[bytes]) -> list[Reply]:
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
        """Close the connections that are not in use, without waiting for the server, and the line when it is not."""
        if self._line is not None:
            line, self._line = self._line, None
            line.retire()
        while self._idle:
            await self._idle.pop().disconnect(nowait=True)

    async def _put_back(self, connection: AbstractConnection) -> None:
        if self._is_closed or await connection.can_read():  # with something that nobody asked for, or an end
            await connection.disconnect(nowait=True)
        elif self._wants_line:
            self._wants_line = False
            self._line = Line(connection, self._dialling.timeout)
        else:
            self._idle.append(connection)

    async def _exchange(self, connection: AbstractConnection, commands: Sequence[bytes]) -> list[Reply]:
        if not connection.is_connected:
            await connection.connect()  # type: ignore[no-untyped-call]
            await self._check_role(connection)
        await connection.send_packed_command(commands, check_health=False)
        return [await _read(connection) for _ in commands]

    async def _check_role(self, connection: AbstractConnection) -> None:
        if not self._is_primary:
            return
        await connection.send_packed_command(packed("ROLE"), check_health=False)
        role = await _read(connection)
        if not isinstance(role, ResponseError) and role[0] != b"master":
            raise ConnectionError(f"{self.name} is not the primary any more")


def packed(*words: bytes | str | int) -> bytes:
    """Return a command as it is sent."""
    command: bytes = pack_command(words)  # type: ignore[arg-type] # its stub means a tuple of one
    return command


async def _read(connection: AbstractConnection) -> Reply:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error
