"""What comes to a gateway beside requests and exchanges: upgraded connections, event streams, uploads, slow clients,
strangers with bad tokens. Everybody here knows what must become of them, and counts what did not."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from bench.fleets import Tokens, calling, logging_out, opening
from bench.outages import Outages
from bench.wire import BROKEN, Answer, Connection

_SECONDS = 10.0
_LATE = 3.0
"""Seconds after the end of a token when its connection must be gone: the bound of revocations, and some more."""
_CHUNK = 64 * 1024

Ports = Callable[[], list[int]]
"""Where gateways are now."""


# --- the upstream


class Upstream(asyncio.Protocol):
    """Answers requests, takes bodies, echoes on upgraded connections, and streams without an end."""

    _ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 200\r\n\r\n" + b"x" * 200

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._left = b""
        self._body = 0
        self._is_tunnel = False
        self._ticking: asyncio.Task[None] | None = None

    def connection_lost(self, error: Exception | None) -> None:
        if self._ticking is not None:
            self._ticking.cancel()

    def data_received(self, data: bytes) -> None:
        if self._is_tunnel:
            self._transport.write(data)
            return
        data = self._left + data
        while data:
            if self._body:
                taken = min(self._body, len(data))
                self._body, data = self._body - taken, data[taken:]
                if not self._body:
                    self._transport.write(self._ANSWER)
                continue
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self._left = head
                return
            self._begin(head.lower())
        self._left = b""

    def _begin(self, head: bytes) -> None:
        _, _, length = head.partition(b"\r\ncontent-length: ")
        if b"\r\nupgrade: " in head:
            self._is_tunnel = True
            self._transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            )
        elif b"/events" in head.partition(b"\r\n")[0]:
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
            self._ticking = asyncio.get_running_loop().create_task(self._tick())
        elif length and (size := int(length.partition(b"\r\n")[0])):
            self._body = size
        else:
            self._transport.write(self._ANSWER)

    async def _tick(self) -> None:
        while True:
            self._transport.write(b"data: tick\n\n")
            await asyncio.sleep(0.2)


# --- who comes


@dataclass(slots=True)
class Findings:
    """What happened, and what must never: each of these in words."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong_accepts: list[str] = field(default_factory=list)
    wrong_refusals: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Mixed:
    """All of them, until `is_over`. `disturbed()` says whether something is being killed now, or was a moment ago."""

    ports: Ports
    outages: Outages
    disturbed: Callable[[], bool]
    rng: random.Random
    findings: Findings = field(default_factory=Findings)
    is_over: bool = False

    async def run(self, crowd: int) -> None:
        """Let so many of each kind come, again and again."""
        kinds: list[Callable[[int], Awaitable[None]]] = [
            self._upgrade,
            self._listen,
            self._upload,
            self._trickle_head,
            self._trickle_body,
            self._read_slowly,
            self._intrude,
        ]
        await asyncio.gather(*(self._repeat(kind, number) for kind in kinds for number in range(crowd)))

    async def _repeat(self, kind: Callable[[int], Awaitable[None]], number: int) -> None:
        await asyncio.sleep(self.rng.random())
        while not self.is_over:
            try:
                async with asyncio.timeout(_SECONDS * 2):
                    await kind(self.rng.choice(self.ports()))
            except BROKEN as error:
                self.findings.counts[f"{kind.__name__.strip('_')}: {type(error).__name__}"] += 1
            await asyncio.sleep(self.rng.uniform(0.05, 0.5))

    # --- long-lived ones, which end with their token

    async def _upgrade(self, port: int) -> None:
        tokens = await _logged_in(port, f"socket-{self.rng.random()}")
        upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        async with _connected(port, calling(tokens.access)[:-2] + upgrade) as (reader, writer):
            if await _status(reader) != 101:
                self._refused("an upgrade")
                return
            await self._hold(port, tokens, reader, "tunnels", writer)

    async def _listen(self, port: int) -> None:
        tokens = await _logged_in(port, f"listener-{self.rng.random()}")
        request = calling(tokens.access).replace(b"/orders", b"/events")
        async with _connected(port, request) as (reader, _):
            if await _status(reader) != 200:
                self._refused("an event stream")
                return
            await self._hold(port, tokens, reader, "event streams")

    async def _hold(
        self,
        port: int,
        tokens: Tokens,
        reader: asyncio.StreamReader,
        what: str,
        writer: asyncio.StreamWriter | None = None,
    ) -> None:
        """Stay until the token expires, or log out on the way: the gateway must close, and not before. With a
        `writer`, say something now and then."""
        since = time.monotonic()
        ends_at = since + tokens.expires_in
        leaves_at = since + self.rng.uniform(0.2, 1.2) * tokens.expires_in
        left_at = None
        while True:
            is_open = await _is_open(reader, writer)
            now = time.monotonic()
            if not is_open:
                break
            due = ends_at if left_at is None else min(ends_at, self.outages.known_from(left_at))
            # Looked at once more: this process may have stood still, and the end have come meanwhile.
            if now > due + _LATE and not self.disturbed() and await _is_open(reader, writer):
                why = "its token expired" if left_at is None else "its user logged out"
                self.findings.wrong_accepts.append(f"{what}: open {now - due:.1f} s after {why}")
                return
            if left_at is None and now > leaves_at:
                with suppress(*BROKEN):
                    answer = await _asked(port, logging_out(tokens.refresh))
                    left_at = time.monotonic() if answer.status == 204 else None
        if left_at is None and now < ends_at - 1 and not self.disturbed():
            self._refused(f"{what}: closed {ends_at - now:.1f} s before its token ends")
        self.findings.counts[f"{what} held until {'their end' if left_at is None else 'a logout'}"] += 1

    # --- honest ones with bodies

    async def _upload(self, port: int) -> None:
        tokens = await _logged_in(port, f"uploader-{self.rng.random()}")
        size = self.rng.randrange(1, 20) * _CHUNK
        head = calling(tokens.access).replace(b"GET ", b"POST ", 1)[:-2] + b"Content-Length: %d\r\n\r\n" % size
        async with _connected(port, head) as (reader, writer):
            for _ in range(size // _CHUNK):
                writer.write(b"x" * _CHUNK)
                await writer.drain()
            status = await _status(reader)
        self.findings.counts[f"uploads answered {status}"] += 1
        if status == 401:
            self._refused("an upload")

    # --- slow ones, which the gateway must get rid of by itself

    async def _trickle_head(self, port: int) -> None:
        async with _connected(port, b"GET /api/orders HTTP/1.1\r\nHost: gw\r\n") as (reader, writer):
            await self._trickle(reader, writer, b"X-Slow: 1\r\n", "slow heads")

    async def _trickle_body(self, port: int) -> None:
        tokens = await _logged_in(port, f"slow-{self.rng.random()}")
        head = calling(tokens.access).replace(b"GET ", b"POST ", 1)[:-2] + b"Content-Length: 1000000\r\n\r\n"
        async with _connected(port, head) as (reader, writer):
            await self._trickle(reader, writer, b"x", "slow bodies")

    async def _trickle(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, piece: bytes, what: str
    ) -> None:
        while not self.is_over and not reader.at_eof() and not writer.is_closing():
            writer.write(piece)
            with suppress(TimeoutError):
                async with asyncio.timeout(0.3):
                    await reader.read(1 << 16)
        self.findings.counts[what] += 1

    async def _read_slowly(self, port: int) -> None:
        """Ask for much, and take nothing of it; the client leaves, for what it holds is bounded anyway."""
        tokens = await _logged_in(port, f"reader-{self.rng.random()}")
        async with _connected(port, calling(tokens.access) * 200):
            await asyncio.sleep(self.rng.uniform(0.5, 3))
        self.findings.counts["slow readers"] += 1

    # --- strangers

    async def _intrude(self, port: int) -> None:
        tokens = await _logged_in(port, f"victim-{self.rng.random()}")
        head, payload, signature = tokens.access.split(".")
        bad = self.rng.choice(
            [
                "",
                f"{head}.{payload}.{signature[:-6]}AAAAAA",
                f"{head}.{payload[:-4]}AAAA.{signature}",
                f"{head}.{payload}.",
                tokens.refresh,
            ]
        )
        answer = await _asked(port, calling(bad) if bad else b"GET /api/orders HTTP/1.1\r\nHost: gw\r\n\r\n")
        self.findings.counts[f"bad tokens answered {answer.status}"] += 1
        if answer.status < 400:
            self.findings.wrong_accepts.append(f"a bad token: {answer.status}")

    def _refused(self, what: str) -> None:
        if not self.disturbed():
            self.findings.wrong_refusals.append(what)


async def _asked(port: int, request: bytes) -> Answer:
    connection = Connection(port)
    try:
        return await connection.ask(request)
    finally:
        connection.close()


async def _logged_in(port: int, subject: str) -> Tokens:
    answer = await _asked(port, opening(subject))
    if answer.status != 201:
        raise ConnectionError(f"a login was answered {answer.status}")
    return Tokens.of(answer)


@asynccontextmanager
async def _connected(port: int, request: bytes) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        yield reader, writer
    finally:
        writer.transport.abort()


async def _status(reader: asyncio.StreamReader) -> int:
    async with asyncio.timeout(_SECONDS):
        head = await reader.readuntil(b"\r\n\r\n")
    return int(head[9:12])


async def _is_open(reader: asyncio.StreamReader, writer: asyncio.StreamWriter | None) -> bool:
    """Say something, if there is somebody to listen, and see whether the other side is still there."""
    with suppress(TimeoutError):
        async with asyncio.timeout(0.3):
            try:
                if not await reader.read(1 << 16):
                    return False
            except ConnectionError:
                return False
    if writer is not None:
        writer.write(b"hello")
    await asyncio.sleep(0.1)
    return not reader.at_eof()
