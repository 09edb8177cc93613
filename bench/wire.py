"""A small HTTP client on the wire: so cheap that the load it makes leaves the cores to what is measured."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

BROKEN: Final = (OSError, EOFError, TimeoutError)
"""What an answer that never came raises."""

_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered."""

    status: int
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """One connection, kept alive. After a failure the next call makes another."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> Answer:
        """Send a request and return the answer. Raises one of BROKEN."""
        try:
            async with asyncio.timeout(_SECONDS):
                reader, writer = await self._open()
                writer.write(request)
                return await _read(reader)
        except BaseException:
            self.close()
            raise

    async def hang_up_on(self, request: bytes, after: float) -> None:
        """Send a request and be gone, `after` seconds later, without looking at the answer. Raises one of BROKEN."""
        try:
            _, writer = await self._open()
            writer.write(request)
            await asyncio.sleep(after)
        finally:
            self.close()

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        return self._streams


def get(path: str, token: str) -> bytes:
    """Return a request with an access token."""
    return f"GET {path} HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


def post_form(path: str, fields: dict[str, str]) -> bytes:
    """Return a request with a form."""
    return _post(path, "application/x-www-form-urlencoded", urlencode(fields).encode())


def post_json(path: str, document: dict[str, Any], *headers: str) -> bytes:
    """Return a request with a JSON document."""
    return _post(path, "application/json", json.dumps(document).encode(), *headers)


def _post(path: str, kind: str, body: bytes, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: gw", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def _read(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    status = int(head[9:12])
    _, _, rest = head.partition("\r\ncontent-length:")
    length = int(rest.partition("\r\n")[0]) if rest and status != 204 else 0
    return Answer(status, await reader.readexactly(length))


class FixedAnswer(asyncio.Protocol):
    """Answers every request head; nobody sends it a body."""

    _ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 200\r\n\r\n" + b"x" * 200

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._left = b""

    def data_received(self, data: bytes) -> None:
        *heads, self._left = (self._left + data).split(b"\r\n\r\n")
        self._transport.write(self._ANSWER * len(heads))


async def start_upstream(protocol: Callable[[], asyncio.Protocol] = FixedAnswer) -> tuple[asyncio.Server, str]:
    """Start an upstream on this event loop; return it and its URL."""
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
