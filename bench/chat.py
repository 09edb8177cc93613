"""`python -m bench.chat`: WebSocket connections on which each message is sent when the last one has come back."""

import argparse
import asyncio
import json
import os
import time
from base64 import b64encode
from typing import Final, cast

import uvloop

from bench.frames import accept_of, masked, plain

_LENGTH: Final = 32
_PATIENCE: Final = 30.0


class Chat(asyncio.Protocol):
    """One connection: counts the messages that came back as they were sent."""

    def __init__(self, port: int, token: str) -> None:
        self._key = b64encode(os.urandom(16)).decode()
        payload, mask = os.urandom(_LENGTH), os.urandom(4)
        self._message, self._echoed = masked(payload, mask), plain(payload)
        self._head = (
            f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {self._key}\r\n\r\n"
        )
        self._received = b""
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.messages = 0
        self.mistakes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._head.encode())

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self.opened.done():
            self._open()
        elif len(self._received) >= len(self._echoed):
            self.mistakes += self._received != self._echoed
            self._received = b""
            self.messages += 1
            self._transport.write(self._message)

    def connection_lost(self, error: Exception | None) -> None:
        self.mistakes += 1
        if not self.opened.done():
            self.opened.set_exception(ConnectionError("closed before it was opened"))

    def begin(self) -> None:
        """Send the first message."""
        self._transport.write(self._message)

    def _open(self) -> None:
        head, end, self._received = self._received.partition(b"\r\n\r\n")
        if not end:
            self._received = head
        elif head.startswith(b"HTTP/1.1 101") and accept_of(self._key).encode() in head:
            self.opened.set_result(None)
        else:
            self.opened.set_exception(ConnectionError(f"not opened: {head[:60]!r}"))


async def chat(port: int, connections: int, seconds: float, token: str) -> dict[str, int]:
    """Talk for so long on so many connections."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(_PATIENCE):
        pairs = [await loop.create_connection(lambda: Chat(port, token), "127.0.0.1", port) for _ in range(connections)]
        chats = [pair[1] for pair in pairs]
        await asyncio.gather(*(each.opened for each in chats))
    began = time.perf_counter()
    for each in chats:
        each.begin()
    await asyncio.sleep(seconds)
    took = time.perf_counter() - began
    return {
        "requests": sum(each.messages for each in chats),
        "duration_us": round(took * 1e6),
        "refused": 0,
        "broken": sum(each.mistakes for each in chats),
    }


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--token", required=True)
    options = parser.parse_args()
    counted = uvloop.run(chat(options.port, options.connections, options.seconds, options.token))
    print("BENCH " + json.dumps(counted))


if __name__ == "__main__":
    main()
