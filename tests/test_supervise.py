import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from gateway.supervise import Supervisor
from gateway.telemetry.health import Health
from gateway.telemetry.log import Log
from gateway.telemetry.log_settings import LogSettings
from gateway.telemetry.metrics import Metrics


class House:
    """A supervisor with all it needs, whose pauses are next to nothing."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.health = Health()
        self.health.mark_started()
        self.now = 0.0
        self.supervisor = self.supervisor_with()

    def supervisor_with(self, **settings: Any) -> Supervisor:
        settings = {"first_pause": 0.001} | settings
        log = Log(LogSettings(), self.stream)
        return Supervisor(log, self.health, longest_pause=0.004, monotonic=lambda: self.now, **settings)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]

    @property
    def failures(self) -> dict[tuple[str, ...], float]:
        return dict(self.supervisor.failures())


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = House()
    yield house
    await house.supervisor.stop()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def for_ever() -> None:
    await asyncio.Event().wait()


class Job:
    """Fails so many times, then runs for ever."""

    def __init__(self, failures: int, fail: Callable[[], None]) -> None:
        self.runs = 0
        self._failures = failures
        self._fail = fail

    async def run(self) -> None:
        self.runs += 1
        await asyncio.sleep(0)
        if self.runs <= self._failures:
            self._fail()
        else:
            await for_ever()


def break_down() -> None:
    raise RuntimeError("broken")


def be_cancelled_within() -> None:
    raise asyncio.CancelledError


def do_nothing() -> None:
    pass


async def test_a_task_that_raises_is_logged_with_its_traceback_counted_and_started_again(house: House) -> None:
    job = Job(1, break_down)
    house.supervisor.start("keys", job.run)
    await until(lambda: job.runs == 2)
    [event] = house.events
    assert (event["level"], event["event"], event["task"]) == ("error", "background_task_failed", "keys")
    assert event["traceback"].startswith("Traceback")
    assert event["traceback"].endswith("RuntimeError: broken\n")
    assert house.failures == {("keys",): 1}


async def test_a_task_that_returns_has_failed_too(house: House) -> None:
    job = Job(1, do_nothing)
    house.supervisor.start("keys", job.run)
    await until(lambda: job.runs == 2)
    assert house.events[0]["traceback"] == "it returned"


async def test_a_cancellation_from_within_does_not_end_a_task(house: House) -> None:
    job = Job(1, be_cancelled_within)
    house.supervisor.start("keys", job.run)
    await until(lambda: job.runs == 2)
    assert "CancelledError" in house.events[0]["traceback"]
    assert house.health.live().is_ok


async def test_the_pause_doubles_up_to_the_longest(house: House) -> None:
    job = Job(4, break_down)
    house.supervisor.start("keys", job.run)
    await until(lambda: job.runs == 5)
    assert [event["restart_in_s"] for event in house.events] == [0.001, 0.002, 0.004, 0.004]


async def test_the_pause_is_short_again_after_a_long_run(house: House) -> None:
    def fail_after_a_while() -> None:
        house.now += 1
        break_down()

    job = Job(3, fail_after_a_while)
    house.supervisor.start("keys", job.run)
    await until(lambda: job.runs == 4)
    assert [event["restart_in_s"] for event in house.events] == [0.001] * 3


async def test_readiness_is_off_while_an_essential_task_is_down(house: House) -> None:
    house.supervisor = house.supervisor_with(first_pause=3600)
    job = Job(1, break_down)
    house.supervisor.start("revocations", job.run, essential=True)
    await until(lambda: not house.health.ready().is_ok)
    assert house.health.ready().blocked_by == ("task revocations",)
    assert house.health.live().is_ok


async def test_readiness_comes_back_when_an_essential_task_keeps_running(house: House) -> None:
    job = Job(2, break_down)
    house.supervisor.start("revocations", job.run, essential=True)
    await until(lambda: not house.health.ready().is_ok)
    await until(lambda: house.health.ready().is_ok)
    assert job.runs == 3


async def test_a_task_that_is_not_essential_leaves_readiness_alone(house: House) -> None:
    house.supervisor = house.supervisor_with(first_pause=3600)
    job = Job(1, break_down)
    house.supervisor.start("access_log", job.run)
    await until(lambda: bool(house.events))
    assert house.health.ready().is_ok


async def test_a_task_that_a_stranger_cancels_is_started_again(house: House) -> None:
    """A time-out of a library that leaks looks like this."""
    cancelling: list[int] = []

    async def job() -> None:
        task = asyncio.current_task()
        assert task is not None
        cancelling.append(task.cancelling())
        await for_ever()

    house.supervisor.start("keys", job)
    await until(lambda: len(cancelling) == 1)
    [task] = [task for task in asyncio.all_tasks() if task.get_name() == "keys"]
    task.cancel()
    await until(lambda: len(cancelling) == 2)
    assert cancelling == [0, 0]
    assert house.health.live().is_ok
    assert "CancelledError" in house.events[0]["traceback"]
    assert house.failures == {("keys",): 1}


async def test_a_task_ends_with_the_loop_even_if_nobody_stopped_it(house: House) -> None:
    async def start() -> None:
        house.supervisor.start("keys", for_ever)
        await asyncio.sleep(0)

    await asyncio.create_task(start())
    [task] = [task for task in asyncio.all_tasks() if task.get_name() == "keys"]
    await asyncio.sleep(0)
    task.cancel()
    await until(lambda: not house.health.live().is_ok)
    assert task.done()


async def test_a_supervised_task_that_ends_beyond_an_exception_asks_for_a_restart_of_the_process(house: House) -> None:
    class Beyond(BaseException):
        pass

    def go_beyond() -> None:
        raise Beyond

    house.supervisor.start("keys", Job(1, go_beyond).run)
    await until(lambda: not house.health.live().is_ok)
    assert house.events[0]["error"] == "Beyond()"


async def test_a_name_is_used_once(house: House) -> None:
    house.supervisor.start("keys", for_ever)
    with pytest.raises(ValueError, match="keys"):
        house.supervisor.start("keys", for_ever)


async def test_a_task_that_never_failed_shows_as_zero(house: House) -> None:
    metrics = Metrics("1.2.3")
    metrics.observe("gateway_background_failures_total", house.supervisor.failures)
    house.supervisor.start("keys", for_ever)
    assert b'gateway_background_failures_total{task="keys"} 0.0\n' in metrics.render(None)[0]


async def test_stop_lets_tasks_clean_up_and_reports_nothing(house: House) -> None:
    cleaned: list[str] = []

    async def job() -> None:
        try:
            await for_ever()
        finally:
            await asyncio.sleep(0)
            cleaned.append("yes")

    house.supervisor.start("keys", job)
    await asyncio.sleep(0)
    await house.supervisor.stop()
    assert cleaned == ["yes"]
    assert house.events == []
    assert house.health.live().is_ok


async def test_stop_without_tasks_is_nothing(house: House) -> None:
    await house.supervisor.stop()
    assert house.events == []


async def test_a_task_that_breaks_while_it_is_stopped_is_logged_and_not_started_again(house: House) -> None:
    async def job() -> None:
        try:
            await for_ever()
        finally:
            break_down()

    house.supervisor.start("keys", job, essential=True)
    await asyncio.sleep(0)
    await house.supervisor.stop()
    assert [event["event"] for event in house.events] == ["background_task_failed"]
    assert house.health.ready().is_ok


async def test_a_task_that_does_not_stop_is_named_and_left_behind(house: House) -> None:
    house.supervisor = house.supervisor_with(patience=0.001)
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    house.supervisor.start("keys", stubborn)
    await asyncio.sleep(0)
    await house.supervisor.stop()
    assert [(event["event"], event["task"]) for event in house.events] == [("background_task_does_not_stop", "keys")]
    release.set()
    await until(lambda: len(house.events) == 2)


async def test_one_task_is_stopped_and_its_name_is_free(house: House) -> None:
    first, second = Job(0, do_nothing), Job(0, do_nothing)
    house.supervisor.start("keys", first.run)
    await until(lambda: first.runs == 1)
    house.supervisor.stop_one("keys")
    house.supervisor.keep("keys", second.run)
    house.supervisor.keep("keys", first.run)
    await until(lambda: second.runs == 1)
    house.supervisor.stop_one("nobody")
    assert (first.runs, house.events) == (1, [])
    assert house.health.live().is_ok
    assert len([task for task in asyncio.all_tasks() if task.get_name() == "keys"]) == 1


async def test_readiness_comes_back_when_an_essential_task_that_is_down_is_stopped(house: House) -> None:
    house.supervisor = house.supervisor_with(first_pause=3600)
    house.supervisor.start("revocations", Job(1, break_down).run, essential=True)
    await until(lambda: not house.health.ready().is_ok)
    house.supervisor.stop_one("revocations")
    assert house.health.ready().is_ok


async def test_a_task_that_breaks_while_it_alone_is_stopped_is_logged_and_not_started_again(house: House) -> None:
    async def job() -> None:
        try:
            await for_ever()
        finally:
            break_down()

    house.supervisor.start("keys", job)
    await asyncio.sleep(0)
    house.supervisor.stop_one("keys")
    await until(lambda: not [task for task in asyncio.all_tasks() if task.get_name() == "keys"])
    assert [event["event"] for event in house.events] == ["background_task_failed"]
    assert house.failures == {}
