"""What one worker wants to know of all, for operators: the parent asks each of them, and sends back what they say."""

import asyncio
import json
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from itertools import count

from gateway.workers.process import WorkerProcess
from gateway.workers.waiting import all_of

PATIENCE = 2.0
"""Seconds that workers have to answer. Those that do not are left out."""


class Gathering:
    """One per parent."""

    def __init__(
        self,
        workers: Callable[[], Collection[WorkerProcess]],
        states: Callable[[], Mapping[str, int]],
        patience: float = PATIENCE,
    ) -> None:
        self._workers = workers
        self._states = states
        self._patience = patience
        self._questions = count()

    async def answer(self, asker: WorkerProcess, number: int, question: bytes) -> None:
        """Ask all workers a question of one of them, which it calls by a number; send it what they say."""
        answers: list[bytes] = []

        async def ask(worker: WorkerProcess) -> None:
            answer = await worker.ask(1 + next(self._questions) % 0xFFFF, question)
            if answer is not None and answer != b"null":
                answers.append(answer)

        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience):
                await all_of([ask(worker) for worker in self._workers()])
        states = json.dumps(dict(self._states())).encode()
        asker.send("told", number, b'{"workers":' + states + b',"answers":[' + b",".join(answers) + b"]}")
