import asyncio
from math import inf
from typing import Any

from gateway.proxy.deadlines import Deadlines


class Connection:
    def __init__(self, deadline: float, error: Exception | None = None) -> None:
        self.deadline = deadline
        self.error = error
        self.passed = asyncio.Event()

    def deadline_passed(self, now: float) -> None:
        self.deadline = inf
        self.passed.set()
        if self.error is not None:
            raise self.error


async def test_a_bug_in_one_connection_does_not_keep_the_others_waiting() -> None:
    loop = asyncio.get_running_loop()
    reported: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: reported.append(context))
    connections = [Connection(0), Connection(0, ZeroDivisionError()), Connection(0)]
    deadlines = Deadlines(loop)
    for connection in connections:
        deadlines.watch(connection)
    deadlines.start()
    async with asyncio.timeout(5):
        for connection in connections:
            await connection.passed.wait()
    deadlines.stop()
    assert [type(context["exception"]) for context in reported] == [ZeroDivisionError]


async def test_a_deadline_that_was_moved_or_forgotten_does_not_pass() -> None:
    moved, forgotten, due = Connection(inf), Connection(0), Connection(0)
    deadlines = Deadlines(asyncio.get_running_loop())
    for connection in (moved, forgotten, due):
        deadlines.watch(connection)
    deadlines.forget(forgotten)
    deadlines.start()
    async with asyncio.timeout(5):
        await due.passed.wait()
    deadlines.stop()
    assert not moved.passed.is_set()
    assert not forgotten.passed.is_set()
