"""An answer that is written in one piece.

aiohttp takes two dozen calls to write one, since it may be compressed, chunked, streamed or a file. A token answer is a
few hundred bytes that are at hand.
"""

import time
from email.utils import formatdate
from functools import lru_cache
from typing import Any

from aiohttp import HttpVersion11, web


class WholeResponse(web.Response):
    """A response with a body, and never one to HEAD. Nothing of the application's own goes around it."""

    _is_kept: bool | None = None
    """Whether the connection stays open, if aiohttp did not write this."""

    @property
    def keep_alive(self) -> bool | None:
        return super().keep_alive if self._is_kept is None else self._is_kept

    async def prepare(self, request: web.BaseRequest) -> Any:
        """Write head and body. Raises ConnectionResetError if the client has gone, ValueError for a line break."""
        body = self.body
        if request.version != HttpVersion11 or type(body) is not bytes or self._cookies:
            return await super().prepare(request)
        head = self._head(len(body), is_kept=request.keep_alive)
        if request.transport is None:
            raise ConnectionResetError("the client has gone")
        self._is_kept = request.keep_alive
        request.transport.write(head + body)
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        if self._is_kept is None:
            await super().write_eof(data)

    def _head(self, length: int, *, is_kept: bool) -> bytes:
        headers = self.headers
        values = "".join(headers.values())
        if "\n" in values or "\r" in values or "\0" in values:
            raise ValueError("a line break in a header")
        connection = "" if is_kept else "Connection: close\r\n"
        fields = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        return (
            f"HTTP/1.1 {self.status} {self.reason}\r\n"
            f"{fields}Date: {_http_date(int(time.time()))}\r\nContent-Length: {length}\r\n{connection}\r\n"
        ).encode()


@lru_cache(maxsize=1)
def _http_date(now: int) -> str:
    return formatdate(now, usegmt=True)
