"""Messages between the parent and a worker, over a pair of sockets: a length, a word, and what it is about.

worker to parent: `health` (a heartbeat), `accepting`, `closed` (takes no more connections), `numbers`, `ask` (something
of all workers), `answer`
parent to worker: `scrape`, `question`, `told` (what all have answered), `drain`, `end` (cut what is left), `reload`,
`adopt` and `leave` (take connections from the sockets of the worker with this number as well, and no more)
When one side is gone, the other reads the end of the stream.
"""

import asyncio
import struct
from typing import NamedTuple

_HEAD = struct.Struct("!IHI")
"""Length of the word, a number to tell questions apart, length of the rest."""
_LONGEST = 1 << 28
_PATIENCE = 2.0


class Message(NamedTuple):
    word: str
    number: int = 0
    content: bytes = b""


class Channel:
    """One end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, word: str, number: int = 0, content: bytes = b"") -> None:
        """Send a message. What nobody takes waits; what cannot arrive any more is dropped."""
        if not self._writer.is_closing():
            encoded = word.encode()
            self._writer.write(_HEAD.pack(len(encoded), number, len(content)) + encoded + content)

    async def receive(self) -> Message | None:
        """Return the next message; None when the other side is gone."""
        try:
            word, number, length = _HEAD.unpack(await self._reader.readexactly(_HEAD.size))
            if word > _LONGEST or length > _LONGEST:
                return None
            name = (await self._reader.readexactly(word)).decode("ascii", "replace")
            return Message(name, number, await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, OSError):
            return None

    async def close(self) -> None:
        """Close when the other side has what was sent, or does not take it."""
        self._writer.close()
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._writer.wait_closed()
        except (OSError, TimeoutError):
            self._writer.transport.abort()
