"""A connection on which many exchanges are under way at a time: replies come in the order of what was sent.

Nobody who goes away leaves a reply to the next one: it is read, and dropped. When the connection breaks, or a reply is
overdue, the line ends, and everybody on it is told. One timer serves all.
"""

import asyncio
from collections import deque
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError, RedisError, ResponseError  # noqa: A004

Reply = Any
"""What the server answered, in bytes, ints, lists and None; an error reply is a ResponseError."""

_LOOK_AGAIN = 0.005
"""Seconds until what seems overdue is so: a process that had no time to read reads meanwhile."""


class Line:
    """Takes over a connection that is open."""

    def __init__(self, connection: AbstractConnection, patience: float) -> None:
        """`patience` is how many seconds a reply may take."""
        self.is_open = True
        self._connection = connection
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._asked: deque[_Asked] = deque()
        self._unsent: list[bytes] = []
        self._sending: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._suspect: _Asked | None = None
        self._reading = self._loop.create_task(self._read())

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
        self._unsent.append(commands)
        if self._sending is None:
            self._sending = self._loop.create_task(self._send())
        return await asked.answer

    async def retire(self) -> None:
        """Take nothing more, and end when everything is answered."""
        self.is_open = False
        if not self._asked:
            self._reading.cancel()
            await self._end()

    async def _send(self) -> None:
        """Send what has come together since this was begun, and what comes meanwhile: a crowd costs few writes."""
        try:
            while self._unsent:
                commands, self._unsent = self._unsent, []
                await self._connection.send_packed_command(commands, check_health=False)
        except (RedisError, OSError) as error:
            self._fail(str(error))
            self._reading.cancel()
        finally:
            self._sending = None

    async def _read(self) -> None:
        asked, read = self._asked, self._connection.read_response
        try:
            while self.is_open or asked:
                is_good = True
                try:
                    reply = await read()
                except ResponseError as error:
                    reply, is_good = error, False
                if not asked:
                    raise ConnectionError("a reply that nobody asked for")
                first = asked[0]
                first.is_good &= is_good
                first.replies.append(reply)
                if len(first.replies) == first.number:
                    asked.popleft()
                    if not first.answer.done():
                        first.answer.set_result(first.replies if first.is_good else None)
        except (RedisError, OSError) as error:
            self._fail(str(error))
        finally:
            await self._end()

    def _look(self) -> None:
        """See whether the oldest reply is overdue."""
        self._timer = None
        if not self._asked:
            return
        first, now = self._asked[0], self._loop.time()
        if now >= first.until and first is self._suspect:
            self._fail("another reply was overdue", now)
            self._reading.cancel()
            return
        self._suspect = first
        self._timer = self._loop.call_later(max(first.until - now, _LOOK_AGAIN), self._look)

    def _fail(self, reason: str, now: float = 0) -> None:
        self.is_open = False
        self._unsent.clear()  # to send it would open the connection again
        while self._asked:
            each = self._asked.popleft()
            if not each.answer.done():
                each.answer.set_exception(TimeoutError() if each.until <= now else ConnectionError(reason))

    async def _end(self) -> None:
        self._fail("the line was closed")
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self._connection.disconnect(nowait=True)


class _Asked:
    """Commands that were sent, and the replies that have come."""

    __slots__ = ("answer", "is_good", "number", "replies", "until")

    def __init__(self, answer: "asyncio.Future[list[Reply] | None]", number: int, until: float) -> None:
        self.answer = answer
        self.number = number
        self.until = until
        self.replies: list[Reply] = []
        self.is_good = True
