"""Both ends of the wire as bytes: raw clients, and upstreams that play a script."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Self

PATIENCE = 10.0
"""Seconds until a test gives up. Nothing waits that long unless something is broken."""


class Cut(Exception):
    """The connection ended in the middle of a message. `partial` is what was there of its body."""

    def __init__(self, partial: bytes) -> None:
        super().__init__(f"cut after {len(partial)} bytes")
        self.partial = partial


@dataclass(frozen=True)
class Message:
    """A request or an answer, read by a parser that has nothing in common with the gateway's."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes = b""

    @property
    def status(self) -> int:
        return int(self.line.split(" ")[1])

    @property
    def target(self) -> str:
        return self.line.split(" ")[1]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def one(self, name: str) -> str | None:
        """Return the value of a header that came at most once."""
        values = self.all(name)
        assert len(values) < 2, f"{name}: {values}"
        return values[0] if values else None


class Wire:
    """One end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> Self:
        self.writer.write(data)
        async with asyncio.timeout(PATIENCE):
            await self.writer.drain()
        return self

    async def head(self) -> Message:
        """Read a message up to the empty line. Raises Cut."""
        async with asyncio.timeout(PATIENCE):
            try:
                text = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                raise Cut(getattr(error, "partial", b"")) from error
        line, *lines = text[:-4].split("\r\n")
        return Message(line, [(name, value.strip()) for name, _, value in (each.partition(":") for each in lines)])

    async def body(self, head: Message, *, to_the_end: bool) -> bytes:
        """Read the body that follows a head, `to_the_end` of the connection if no end is announced. Raises Cut."""
        length = head.one("content-length")
        if head.one("transfer-encoding") == "chunked":
            return b"".join([chunk async for chunk in self.chunks()])
        if length is not None:
            return await self.exactly(int(length))
        return await self.rest() if to_the_end else b""

    async def chunks(self) -> AsyncIterator[bytes]:
        """Read a chunked body, chunk by chunk. Raises Cut."""
        before = b""
        while True:
            try:
                size = int((await self.line()), 16)
                chunk = await self.exactly(size)
                await self.exactly(2)
            except Cut as cut:
                raise Cut(before + cut.partial) from cut
            if not size:
                return
            before += chunk
            yield chunk

    async def line(self) -> bytes:
        async with asyncio.timeout(PATIENCE):
            try:
                return (await self.reader.readuntil(b"\r\n"))[:-2]
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                raise Cut(b"") from error

    async def exactly(self, size: int) -> bytes:
        async with asyncio.timeout(PATIENCE):
            try:
                return await self.reader.readexactly(size)
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                raise Cut(getattr(error, "partial", b"")) from error

    async def rest(self) -> bytes:
        """Read until the other side closes. Raises Cut if that is a reset."""
        parts = []
        async with asyncio.timeout(PATIENCE):
            try:
                while part := await self.reader.read(65536):
                    parts.append(part)
            except ConnectionError as error:
                raise Cut(b"".join(parts)) from error
        return b"".join(parts)

    async def closed(self, within: float = PATIENCE) -> bytes:
        """Wait until the other side is gone, in whatever way, and return what it said before."""
        async with asyncio.timeout(within):
            try:
                return await self.rest()
            except Cut as cut:
                return cut.partial

    async def silent(self, seconds: float = 0.1) -> bool:
        """Say whether nothing comes for a moment, not even an end."""
        try:
            async with asyncio.timeout(seconds):
                return not await self.reader.read(1) and False
        except TimeoutError:
            return True

    def finish(self) -> None:
        """Close our side only."""
        self.writer.write_eof()

    def reset(self) -> None:
        """Disappear with a reset."""
        sock = self.writer.get_extra_info("socket")
        with socket.socket(fileno=socket.dup(sock.fileno())) as twin:
            twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(1):
                await self.writer.wait_closed()


class Client(Wire):
    """A client that sends exactly what it is told."""

    async def answer(self, *, to_head: bool = False) -> Message:
        """Read one answer, 1xx ones included. Raises Cut."""
        head = await self.head()
        if to_head or head.status < 200 or head.status in (204, 304):
            return head
        return Message(head.line, head.headers, await self.body(head, to_the_end=True))

    async def ask(self, data: bytes) -> Message:
        """Send, and read one answer."""
        await self.send(data)
        return await self.answer(to_head=data.startswith(b"HEAD "))


@asynccontextmanager
async def connected(
    port: int, tls: ssl.SSLContext | None = None, *, buffer: int | None = None
) -> AsyncIterator[Client]:
    """Connect to a port on loopback. `buffer` is the size of the receive buffer."""
    sock = socket.socket()
    if buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    sock.setblocking(False)
    name = "localhost" if tls is not None else None
    try:
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        client = Client(*await asyncio.open_connection(sock=sock, ssl=tls, server_hostname=name, limit=buffer or 2**16))
    except BaseException:
        sock.close()
        raise
    try:
        yield client
    finally:
        await client.close()


async def ask(port: int, data: bytes) -> Message:
    """Ask on a connection of its own."""
    async with connected(port) as client:
        return await client.ask(data)


class UpstreamWire(Wire):
    """The upstream's end of one connection."""

    def __init__(self, upstream: "Upstream", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(reader, writer)
        self.upstream = upstream

    async def head(self) -> Message:
        head = await super().head()
        self.upstream.heads.append(head)
        return head

    async def request(self) -> Message:
        """Read one request, with its body. Raises Cut."""
        head = await self.head()
        request = Message(head.line, head.headers, await self.body(head, to_the_end=False))
        self.upstream.requests.append(request)
        return request


Script = Callable[[UpstreamWire], Awaitable[None]]


@dataclass
class Upstream:
    """A server that plays a script on each connection, and remembers what it saw."""

    url: str = ""
    port: int = 0
    connections: int = 0
    heads: list[Message] = field(default_factory=list)
    requests: list[Message] = field(default_factory=list)
    gone: list[UpstreamWire] = field(default_factory=list)
    """Connections whose script has ended, or that were closed while it waited."""


def answering(answer: bytes) -> Script:
    """Return a script that gives the same answer to every request."""

    async def script(wire: UpstreamWire) -> None:
        while True:
            await wire.request()
            await wire.send(answer)

    return script


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@asynccontextmanager
async def upstream(
    script: Script | None = None, *, tls: ssl.SSLContext | None = None, path: str = "", port: int = 0
) -> AsyncIterator[Upstream]:
    """Run an upstream on loopback, or on a Unix socket, that says OK. An error in its script fails the test."""
    play_script = script or answering(OK)
    server = Upstream()
    wires: list[UpstreamWire] = []
    tasks: list[asyncio.Task[None]] = []

    async def play(wire: UpstreamWire) -> None:
        with contextlib.suppress(Cut, ConnectionError):
            await play_script(wire)
        server.gone.append(wire)
        await wire.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        wires.append(UpstreamWire(server, reader, writer))
        tasks.append(asyncio.get_running_loop().create_task(play(wires[-1])))

    if path:
        listener = await asyncio.start_unix_server(accept, path)
        server.url = f"unix:{path}"
    else:
        listener = await asyncio.start_server(accept, "127.0.0.1", port, ssl=tls)
        server.port = listener.sockets[0].getsockname()[1]
        server.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.port}"
    try:
        yield server
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for wire in wires:
            wire.writer.transport.abort()
        await listener.wait_closed()
    failed = [each for each in results if isinstance(each, Exception)]
    if failed:
        raise failed[0]


class Gate:
    """An upstream that answers when it is told to."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def script(self, wire: UpstreamWire) -> None:
        while True:
            await wire.request()
            await self.open.wait()
            await wire.send(OK)


async def eventually(condition: Callable[[], object], within: float = PATIENCE) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.01)
