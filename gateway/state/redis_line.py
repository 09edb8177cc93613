"""A connection on which many exchanges are under way at a time: replies come in the order of what was sent.

Nobody who goes away leaves a reply to the next one: it is read, and dropped. When the connection breaks, or a reply is
overdue, the line ends, and everybody on it is told. One timer serves all.

The library opens the connection. From then on the line reads and writes by itself: for each reply the library would run
four functions, and wake a task.
"""

import asyncio
from collections import deque
from typing import Any, cast

from hiredis import ProtocolError, Reader
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError, ResponseError  # noqa: A004

Reply = Any
"""What the server answered, in bytes, ints, lists and None; an error reply is a ResponseError."""

_LOOK_AGAIN = 0.005
"""Seconds until what seems overdue is so: a process that had no time to read reads meanwhile."""
_INCOMPLETE = object()
"""What the reader gives where a reply has not come in full."""


class Line:
    """Takes over a connection that is open, and on which nothing is under way.

    An asyncio.Protocol in all but name: a class compiled by mypyc has no base that is not.
    """

    def __init__(self, connection: AbstractConnection, patience: float) -> None:
        """`patience` is how many seconds a reply may take."""
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._asked: deque[_Asked] = deque()
        self._unsent: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._suspect: _Asked | None = None
        self._replies = Reader(replyError=ResponseError, notEnoughData=_INCOMPLETE)
        self._writer = _taken_from(connection)
        self.is_open = not self._writer.transport.is_closing()
        self._writer.transport.set_protocol(cast(asyncio.Protocol, self))

    async def ask(self, commands: bytes, number: int) -> list[Reply] | None:
        """Send commands; return their replies, or None if one of them is an error.

        Raises TimeoutError if they are overdue, ConnectionError for any other end of the line.
        """
        if not self.is_open:
            raise ConnectionError("the line was closed")
        asked = _Asked(self._loop.create_future(), number, self._loop.time() + self._patience)
        self._asked.append(asked)
        if self._timer is None:
            self._timer = self._loop.call_later(self._patience, self._look)
        if not self._unsent:
            self._loop.call_soon(self._send)
        self._unsent.append(commands)
        return await asked.answer

    def retire(self) -> None:
        """Take nothing more, and end when everything is answered that somebody still waits for."""
        self.is_open = False
        if all(each.answer.done() for each in self._asked):
            self._end("the line was closed")

    # --- what the transport calls

    def data_received(self, data: bytes) -> None:
        asked, next_reply = self._asked, self._replies.gets
        try:
            self._replies.feed(data)
            while (reply := next_reply()) is not _INCOMPLETE:
                if not asked:
                    self._end("a reply that nobody asked for")
                    return
                first = asked[0]
                first.replies.append(reply)
                first.is_good &= not isinstance(reply, ResponseError)
                if len(first.replies) == first.number:
                    asked.popleft()
                    if not first.answer.done():
                        first.answer.set_result(first.replies if first.is_good else None)
        except ProtocolError as error:
            self._end(str(error))
        if not self.is_open and not asked:
            self._end("the line was closed")

    def connection_lost(self, error: Exception | None) -> None:
        self._end(str(error or "the server closed the connection"))

    def eof_received(self) -> None: ...

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...

    # --- sending, and the end

    def _send(self) -> None:
        """Send what has come together since this was asked for: a crowd costs few writes."""
        commands, self._unsent = self._unsent, []
        if commands:
            self._writer.transport.write(b"".join(commands))

    def _look(self) -> None:
        """See whether the oldest reply is overdue."""
        self._timer = None
        if not self._asked:
            return
        first, now = self._asked[0], self._loop.time()
        if now >= first.until and first is self._suspect:
            self._end("another reply was overdue", now)
            return
        self._suspect = first
        self._timer = self._loop.call_later(max(first.until - now, _LOOK_AGAIN), self._look)

    def _end(self, reason: str, now: float = 0) -> None:
        """Tell everybody, those with a TimeoutError whose reply is overdue at `now`. What was not sent never is."""
        self.is_open = False
        self._unsent = []
        while self._asked:
            each = self._asked.popleft()
            if not each.answer.done():
                each.answer.set_exception(TimeoutError() if each.until <= now else ConnectionError(reason))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._writer.transport.abort()


class _Asked:
    """Commands that were sent, and the replies that have come."""

    def __init__(self, answer: "asyncio.Future[list[Reply] | None]", number: int, until: float) -> None:
        self.answer = answer
        self.number = number
        self.until = until
        self.replies: list[Reply] = []
        self.is_good = True


def _taken_from(connection: AbstractConnection) -> asyncio.StreamWriter:
    """Take what the library has opened; for the library the connection is closed from now on.

    It has no other way to give it away. The writer is returned, as it closes its transport when nobody holds it.
    """
    writer = connection._writer
    assert writer is not None
    connection._reader = connection._writer = None
    return writer
