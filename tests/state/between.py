"""A proxy between a gateway and its Redis, which swallows or delays replies."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.ports import free_port


class Between:
    """Passes everything on, the replies `delay` seconds later, and only while it does not swallow."""

    def __init__(self, target: int) -> None:
        self._target = target
        self.port = free_port()
        self.swallows = False
        self.delay = 0.0
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers += [writer, back]
        await asyncio.gather(self._pass(reader, back, replies=False), self._pass(there, writer, replies=True))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, replies: bool) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                if replies:
                    await asyncio.sleep(self.delay)
                if not (replies and self.swallows) and not writer.is_closing():
                    writer.write(data)
        writer.close()

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


@asynccontextmanager
async def between(target: int) -> AsyncIterator[Between]:
    proxy = Between(target)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", proxy.port)
    try:
        yield proxy
    finally:
        server.close()
        proxy.close()
        await asyncio.sleep(0.05)
