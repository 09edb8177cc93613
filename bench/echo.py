"""`python -m bench.echo`: a WebSocket upstream that sends every short message back."""

import argparse
import asyncio
import contextlib
import re
from typing import cast

import uvloop

from bench.frames import accept_of, messages, plain


class Echo(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._received = bytearray()
        self._is_open = False

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._is_open:
            self._open()
        if self._is_open and (answers := b"".join(map(plain, messages(self._received)))):
            self._transport.write(answers)

    def _open(self) -> None:
        head, end, rest = bytes(self._received).partition(b"\r\n\r\n")
        if not end:
            return
        key = re.search(rb"(?i)\r\nSec-WebSocket-Key: *(\S+)", head)
        if key is None:
            self._transport.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            self._transport.close()
            return
        self._received, self._is_open = bytearray(rest), True
        upgrade = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        self._transport.write(f"{upgrade}Sec-WebSocket-Accept: {accept_of(key[1].decode())}\r\n\r\n".encode())


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", port)
    await server.serve_forever()


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(_serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
