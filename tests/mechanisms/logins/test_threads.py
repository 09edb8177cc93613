import asyncio
import threading

import pytest

from gateway.mechanisms.logins.threads import BoundedThreads
from gateway.model.errors import LoginSaturated, Unavailable


async def test_no_more_wait_than_may() -> None:
    threads, gate = BoundedThreads(2, 1, "test"), threading.Event()
    running = [asyncio.ensure_future(threads.run(gate.wait)) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(LoginSaturated):
        await threads.run(gate.wait)
    gate.set()
    assert await asyncio.gather(*running) == [True, True, True]
    assert await threads.run(int, "7") == 7
    threads.close()


async def test_no_more_work_at_once_than_may() -> None:
    threads = BoundedThreads(2, 20, "test")
    both, lock = threading.Barrier(2), threading.Lock()
    busy: list[int] = [0, 0]

    def work() -> None:
        with lock:
            busy[0] += 1
            busy[1] = max(busy)
        both.wait(10)
        with lock:
            busy[0] -= 1

    await asyncio.gather(*(threads.run(work) for _ in range(20)))
    assert busy == [0, 2]
    threads.close()


async def test_who_gives_up_does_not_free_the_place_of_work_that_goes_on() -> None:
    """A client that hangs up again and again must not start more and more work."""
    threads, gate, started = BoundedThreads(1, 0, "test"), threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        gate.wait()

    task = asyncio.ensure_future(threads.run(work))
    await asyncio.to_thread(started.wait)
    task.cancel()
    await asyncio.wait({task})
    try:
        with pytest.raises(LoginSaturated):
            await asyncio.wait_for(threads.run(int), 10)
    finally:
        gate.set()
    while True:
        try:
            assert await threads.run(int) == 0
            break
        except LoginSaturated:
            await asyncio.sleep(0)
    threads.close()


async def test_who_gives_up_while_waiting_frees_the_place() -> None:
    threads, gate = BoundedThreads(1, 1, "test"), threading.Event()
    first, second = (asyncio.ensure_future(threads.run(gate.wait)) for _ in range(2))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait({second})
    third = asyncio.ensure_future(threads.run(gate.wait))
    await asyncio.sleep(0)
    gate.set()
    assert await first
    assert await third
    threads.close()


async def test_an_error_comes_out() -> None:
    threads = BoundedThreads(1, 0, "test")
    with pytest.raises(ValueError):
        await threads.run(int, "x")
    threads.close()


async def test_nothing_is_done_after_the_end() -> None:
    threads = BoundedThreads(1, 0, "test")
    threads.close()
    for _ in range(3):
        with pytest.raises(Unavailable):
            await threads.run(int)
