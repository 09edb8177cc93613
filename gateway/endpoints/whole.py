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
    """A response that is written in one piece where it can be: its body is at hand, and is to be sent."""

    async def prepare(self, request: web.BaseRequest) -> Any:
        """Write head and body. Raises ConnectionResetError if the client has gone, ValueError for a line break."""
        body = self.body
        if type(body) is not bytes or self._cookies or self._keep_alive is not None or not _may_be_whole(request):
            return await super().prepare(request)
        head = self._head(len(body), is_kept=request.keep_alive)
        if request.transport is None:
            raise ConnectionResetError("the client has gone")
        self._keep_alive, self._eof_sent = request.keep_alive, True
        request.transport.write(head + body)
        return None

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


def _may_be_whole(request: web.BaseRequest) -> bool:
    return request.version == HttpVersion11 and request.method != "HEAD"


@lru_cache(maxsize=1)
def _http_date(now: int) -> str:
    return formatdate(now, usegmt=True)
