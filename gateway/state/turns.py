"""Turns: so many at a time, and the others in the order in which they came.

Like a semaphore of asyncio; but to take a turn that is free costs next to nothing.
"""

import asyncio
from collections import deque


class Turns:
    """`free` may be taken with `take` as long as there are some; otherwise one must `wait`. Each is given back."""

    def __init__(self, number: int) -> None:
        self.free = number
        self._waiting: deque[asyncio.Future[None]] = deque()

    def take(self) -> bool:
        """Take a turn, if one is free. Nobody waits as long as one is."""
        if self.free <= 0:
            return False
        self.free -= 1
        return True

    async def wait(self) -> None:
        """Wait for a turn, and take it."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it came too late
                self.give_back()
            raise

    def give_back(self) -> None:
        """Let go of a turn: the next one has it at once."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.free += 1
