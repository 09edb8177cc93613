"""The parent of workers, with a patience that tests can wait for. The workers are real."""

import asyncio
import io
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml

from gateway.config.load import load_config
from gateway.telemetry.log import Log
from gateway.telemetry.log_settings import LogSettings
from gateway.workers.fleet_health import FleetHealth, Seat
from gateway.workers.parent import FirstWorkerFailed, Parent
from gateway.workers.places import bind_places
from gateway.workers.process import WorkerProcess
from gateway.workers.timing import Timing

PATIENCE = 30.0


class Crew:
    def __init__(self, parent: Parent, file: Path, log: io.StringIO) -> None:
        self.parent = parent
        self.file = file
        self._log = log

    @property
    def pid(self) -> int:
        worker = self.parent.workers[0]
        assert worker is not None
        return worker.pid

    @property
    def port(self) -> int:
        (descriptor,) = self.parent.plan.slots[0].values()
        with socket.socket(fileno=os.dup(descriptor)) as sock:
            return int(sock.getsockname()[1])

    def events(self, name: str) -> list[str]:
        return [line for line in self._log.getvalue().splitlines() if f" {name} " in line]


@asynccontextmanager
async def crew(directory: Path, timing: Timing, workers: int = 1) -> AsyncIterator[Crew]:
    """Give a parent of one worker or more, not started."""
    file = directory / "gateway.yaml"
    config = {
        "listen": [{"address": "127.0.0.1:0"}],
        "upstreams": {"app": {"targets": ["http://127.0.0.1:9"]}},
        "routes": [{"id": "all", "match": {"path": "/**"}, "upstream": "app", "access": "public"}],
    }
    file.write_text(yaml.safe_dump(config))
    loaded = load_config(file, os.environ)
    places = bind_places(loaded.config, workers, {})
    text = io.StringIO()
    parent = Parent(places.plan(str(file), loaded.config), Log(LogSettings(format="text"), text), "1.2.3", timing)
    try:
        yield Crew(parent, file, text)
    finally:
        if not parent.health.is_draining:
            await parent.stop()
        for slot in places.slots:
            for sock in slot.values():
                sock.detach()  # the parent has closed it


async def until(crew: Crew, name: str, times: int = 1) -> None:
    async with asyncio.timeout(PATIENCE):
        while len(crew.events(name)) < times:
            await asyncio.sleep(0.02)


async def test_a_worker_that_hangs_is_replaced(tmp_path: Path) -> None:
    async with crew(tmp_path, Timing(look=0.1, frozen=3)) as ship:
        await ship.parent.start()
        frozen = ship.pid
        os.kill(frozen, signal.SIGSTOP)
        await until(ship, "worker_started")
        assert "how=frozen" in ship.events("worker_ended")[0]
        assert ship.pid != frozen
        assert ship.parent.ends == {"frozen": 1}
        async with asyncio.timeout(PATIENCE):
            while not ship.parent.health.ready().is_ok:
                await asyncio.sleep(0.02)


async def test_a_parent_that_stood_still_with_its_worker_kills_nobody(tmp_path: Path) -> None:
    async with crew(tmp_path, Timing(look=0.1, frozen=3)) as ship:
        await ship.parent.start()
        pid = ship.pid
        os.kill(pid, signal.SIGSTOP)
        time.sleep(3.5)  # a debugger, or Ctrl-Z
        os.kill(pid, signal.SIGCONT)
        await asyncio.sleep(0.5)
        assert ship.pid == pid
        assert ship.events("worker_frozen") == []


async def test_a_worker_that_dies_again_and_again_is_replaced_ever_later(tmp_path: Path) -> None:
    async with crew(tmp_path, Timing(first_pause=0.1, longest_pause=0.2)) as ship:
        await ship.parent.start()
        ship.file.write_text("nonsense: 1")
        os.kill(ship.pid, signal.SIGKILL)
        await until(ship, "worker_pause", 2)
        assert [line.rpartition("seconds=")[2] for line in ship.events("worker_pause")[:2]] == ["0.1", "0.2"]
        assert ship.parent.health.ready().blocked_by[0].startswith("worker 1: ")


async def answers(crew: Crew, connections: int = 60) -> None:
    """Ask on so many fresh connections."""
    for _ in range(connections):
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection("127.0.0.1", crew.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 502")
            writer.close()
            await writer.wait_closed()


async def becomes(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not is_so():
            await asyncio.sleep(0.02)


def readings(crew: Crew) -> dict[str, float]:
    return {state: number for (state,), number in crew.parent.numbers().readings["gateway_workers"].items()}


async def test_whoever_takes_the_connections_of_a_missing_worker_may_die_as_well(tmp_path: Path) -> None:
    async with crew(tmp_path, Timing(look=0.1, first_pause=0.1, longest_pause=0.5, missing=0), workers=3) as ship:
        await ship.parent.start()
        config = ship.file.read_text()
        ship.file.write_text("nonsense: 1")
        first = ship.pid
        os.kill(first, signal.SIGKILL)
        await becomes(lambda: ship.parent.seats[0].deputy is not None)
        await answers(ship)
        deputy = ship.parent.seats[0].deputy
        assert deputy is not None
        os.kill(deputy.pid, signal.SIGKILL)
        await becomes(lambda: ship.parent.seats[0].deputy not in (None, deputy))
        await becomes(lambda: ship.parent.seats[deputy.slot - 1].deputy is not None)
        await answers(ship)
        assert readings(ship)["missing"] == 2
        assert ship.parent.health.ready().is_ok
        ship.file.write_text(config)
        await becomes(lambda: [seat.deputy for seat in ship.parent.seats] == [None] * 3)
        assert readings(ship) == {"ready": 3, "unready": 0, "draining": 0, "missing": 0}
        await answers(ship)


async def test_others_take_the_connections_of_a_worker_that_is_silent_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.workers.process._SILENCE", 2.5)
    async with crew(tmp_path, Timing(look=0.1), workers=2) as ship:
        await ship.parent.start()
        os.kill(ship.pid, signal.SIGSTOP)
        await becomes(lambda: ship.parent.seats[0].deputy is not None)
        await answers(ship)
        os.kill(ship.pid, signal.SIGCONT)
        await becomes(lambda: ship.parent.seats[0].deputy is None)
        assert ship.parent.ends == {}


async def test_a_worker_that_cannot_start_is_told_of(tmp_path: Path) -> None:
    async with crew(tmp_path, Timing(first_pause=PATIENCE)) as ship:
        await ship.parent.start()
        ship.file.write_text("nonsense: 1")
        os.kill(ship.pid, signal.SIGKILL)
        await until(ship, "worker_pause")
        await becomes(lambda: ship.parent.health.ready().blocked_by == ("worker 1: cannot start",))


async def test_at_the_start_all_workers_must_be_ready_and_later_one_may_be_unready_for_a_while(tmp_path: Path) -> None:
    async with crew(tmp_path, Timing(), workers=2) as ship:
        await ship.parent.start()
        await becomes(lambda: readings(ship)["ready"] == 2)
        first, second = ship.parent.workers
        seats = [Seat(1), Seat(2)]
        seats[0].worker, seats[1].worker = first, second
        health = FleetHealth(seats, patience=PATIENCE)
        assert second is not None
        second.blocked_by = ["first snapshot"]  # until it speaks again, which nobody here waits for
        assert health.ready().blocked_by == ("worker 2: first snapshot",)
        second.blocked_by = []
        assert health.ready().is_ok
        second.blocked_by = ["keys"]
        assert health.ready().is_ok


async def test_a_rolling_restart_during_a_pause_leaves_no_worker_too_many(tmp_path: Path) -> None:
    async with crew(tmp_path, Timing(first_pause=2)) as ship:
        await ship.parent.start()
        config = ship.file.read_text()
        ship.file.write_text("nonsense: 1")
        os.kill(ship.pid, signal.SIGKILL)
        await until(ship, "worker_pause")
        pause_ends = time.monotonic() + 2
        ship.file.write_text(config)
        ship.parent.roll()
        await until(ship, "rolling_restart_done")
        while time.monotonic() < pause_ends + 0.5:
            await asyncio.sleep(0.1)
        assert readings(ship) == {"ready": 1, "unready": 0, "draining": 0, "missing": 0}


async def test_a_stop_during_a_rolling_restart_starts_nobody_new(tmp_path: Path) -> None:
    async with crew(tmp_path, Timing(frozen=4 * PATIENCE), workers=2) as ship:
        await ship.parent.start()
        relieved = ship.pid
        os.kill(relieved, signal.SIGSTOP)  # so that it is not gone, and the next one's turn, before the stop
        ship.parent.roll()
        await until(ship, "worker_started")
        stopping = asyncio.create_task(ship.parent.stop())
        await until(ship, "draining")
        os.kill(relieved, signal.SIGCONT)
        await stopping
        assert ship.parent.ends == {"drained": 3}
        assert ship.events("worker_not_started") == []


async def test_a_stop_lets_a_replacement_that_starts_end_by_itself(tmp_path: Path) -> None:
    async with crew(tmp_path, Timing()) as ship:
        await ship.parent.start()
        ship.parent.roll()
        await until(ship, "rolling_restart")
        await ship.parent.stop()
        assert ship.parent.ends == {"drained": 2}


async def test_a_stop_cuts_no_connection_of_a_replacement_that_has_just_become_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopping: list[asyncio.Task[None]] = []
    is_ready = Parent._is_ready

    async def stopped_when_ready(parent: Parent, worker: WorkerProcess) -> None:
        await is_ready(parent, worker)
        stopping.append(asyncio.create_task(parent.stop()))

    monkeypatch.setattr(Parent, "_is_ready", stopped_when_ready)
    async with crew(tmp_path, Timing()) as ship:
        await ship.parent.start()
        ship.parent.roll()
        await becomes(lambda: bool(stopping))
        await stopping[0]
        assert ship.parent.ends == {"drained": 2}


async def test_a_rolling_restart_that_cannot_start_a_process_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with crew(tmp_path, Timing()) as ship:
        await ship.parent.start()
        pid = ship.pid
        monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))  # as an upgrade of Python does
        ship.parent.roll()
        await until(ship, "rolling_restart_failed")
        assert "No such file" in ship.events("worker_not_started")[0]
        assert ship.pid == pid
        assert ship.parent.health.ready().is_ok


async def test_a_first_worker_that_cannot_start_is_not_tried_again(tmp_path: Path) -> None:
    async with crew(tmp_path, Timing()) as ship:
        ship.file.write_text("nonsense: 1")
        with pytest.raises(FirstWorkerFailed) as failed:
            await ship.parent.start()
        assert failed.value.status == 1
        assert ship.events("worker_started") == []
