"""The parent of the workers: holds the sockets, replaces workers that die or hang, and stops them all.

It never closes a listening socket before the end, and never reads what comes in there.
"""

import asyncio
import os
import socket
from collections import Counter
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from time import monotonic
from typing import Any

from gateway.proxy.handshakes import ROUND_TRIP, refuse_handshakes
from gateway.state.shelf import new_shelf
from gateway.telemetry.log import Log
from gateway.telemetry.merging import Ledger, Numbers
from gateway.workers.fleet_health import FleetHealth, Seat
from gateway.workers.fleet_metrics import FleetMetrics
from gateway.workers.gathering import Gathering
from gateway.workers.plan import Plan
from gateway.workers.process import ENDS, WorkerProcess
from gateway.workers.timing import Timing
from gateway.workers.waiting import all_of, any_of


class FirstWorkerFailed(Exception):
    """The first worker could not start. It has said why; `status` is how it exited."""

    def __init__(self, status: int) -> None:
        super().__init__(f"exit status {status}")
        self.status = status


class Parent:
    """Call `start`, then `stop`."""

    def __init__(self, plan: Plan, log: Log, version: str, timing: Timing | None = None) -> None:
        self.plan = plan
        self._log = log
        self._version = version
        self._timing = timing or Timing()
        self.seats = [Seat(number) for number in range(1, len(plan.slots) + 1)]
        self._workers: set[WorkerProcess] = set()
        self._tasks: set[asyncio.Task[object]] = set()
        self._failures: Counter[int] = Counter()
        self._hurry = asyncio.Event()
        self._is_stopping = False
        self._is_rolling = False
        self._is_up = False
        """The first worker could start."""
        self._is_whole = False
        """All workers have been started."""
        self._looked_at = monotonic()
        self._shelf = new_shelf()
        self.ends: Counter[str] = Counter()
        self.ledger = Ledger()
        self.health = FleetHealth(self.seats, self._timing.missing)
        self.metrics = FleetMetrics(self.ledger, self.numbers, self.ask_all)
        self._gathering = Gathering(lambda: self._workers, self._states)

    @property
    def workers(self) -> list[WorkerProcess | None]:
        """The worker of each slot."""
        return [seat.worker for seat in self.seats]

    # --- start

    async def start(self) -> None:
        """Start all workers. Raises FirstWorkerFailed if the first one ends before it takes connections."""
        first = await self._seat_new(self.seats[0], patience=0)
        await any_of(first.accepting.wait(), first.ended.wait())
        if first.is_over and not self._is_stopping and first.status:
            raise FirstWorkerFailed(first.status)
        self._is_up = True
        for seat in self.seats[1:]:
            await self._seat_new(seat, patience=0)
        self._is_whole = True
        self._begin(self._keep_looking())
        await any_of(self._all_accepting(), self._hurry.wait())
        self._log.info("listening", addresses=list(self.plan.listen), workers=len(self.seats), version=self._version)

    async def _all_accepting(self) -> None:
        while not self.health.started().is_ok:  # noqa: ASYNC110 - once, at the start
            await asyncio.sleep(0.05)

    async def _seat_new(self, seat: Seat, patience: float) -> WorkerProcess:
        seat.worker = await self._spawn(seat, patience)
        return seat.worker

    async def _spawn(self, seat: Seat, patience: float) -> WorkerProcess:
        worker = await WorkerProcess.spawned(
            self.plan,
            seat.number,
            patience,
            self.ledger.take,
            self._pass_on,
            replaces=seat.worker is not None,
            shelf=self._shelf,
        )
        self._workers.add(worker)
        self._begin(self._await_end(seat, worker))
        if self._is_stopping:
            worker.drain()
        return worker

    # --- workers that end

    async def _await_end(self, seat: Seat, worker: WorkerProcess) -> None:
        born_at = monotonic()
        await worker.closed.wait()
        self._cover()
        await worker.ended.wait()
        self.ledger.retire(worker)
        self._workers.discard(worker)
        self.ends[worker.how_it_ended()] += 1
        fields = {"worker": seat.number, "pid": worker.pid, "how": worker.how_it_ended()}
        if worker.status == 0:
            self._log.info("worker_ended", **fields)
        elif self._is_up or worker.status != 1:  # else it has said itself why it could not start
            self._log.error("worker_ended", **fields, status=worker.status, signal=worker.signal_name())
        if self._is_up and seat.worker is worker and not (self._is_stopping or seat.is_being_relieved):
            await self._replace(seat, lived=monotonic() - born_at)

    async def _replace(self, seat: Seat, *, lived: float) -> None:
        """Fill a seat that became empty: at once, and later when that happens again and again."""
        timing = self._timing
        if lived > timing.lasting:
            self._failures[seat.number] = 0
        failures = self._failures[seat.number]
        self._failures[seat.number] += 1
        if failures:
            pause = min(timing.first_pause * 2 ** (failures - 1), timing.longest_pause)
            self._log.warning("worker_pause", worker=seat.number, seconds=pause)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), pause)
        if self._is_stopping or seat.is_taken:  # a rolling restart came first
            return
        former = seat.worker
        try:
            worker = await self._spawn(seat, timing.settle)
        except OSError as error:
            self._log.error("worker_not_started", worker=seat.number, error=str(error))
            self._begin(self._replace(seat, lived=0))
            return
        if seat.worker is not former:
            worker.drain()
            return
        seat.worker = worker
        self._log.info("worker_started", worker=seat.number, pid=worker.pid)

    async def _keep_looking(self) -> None:
        """Look for workers that hang, or that ask for a restart."""
        while True:
            await asyncio.sleep(self._timing.look)
            now, before = monotonic(), self._looked_at
            self._looked_at = now
            self._cover()
            for seat in self.seats:
                seat.look()
                if seat.has_closed and not self._is_stopping:
                    seat.hasty = seat.worker
                    self._begin(self._relieve(seat))
            for worker in list(self._workers):
                if now - before > self._timing.look + 1:
                    worker.heard_at = now  # it was this process that stood still, and heard nothing
                elif now - worker.heard_at > self._patience(worker) and not worker.is_over:
                    self._log.error("worker_frozen", worker=worker.slot, pid=worker.pid)
                    worker.is_frozen = True
                    worker.kill()
                elif worker.fatal and not worker.is_draining:
                    self._log.error("worker_broken", worker=worker.slot, pid=worker.pid, reasons=worker.fatal)
                    worker.drain()

    def _cover(self) -> None:
        """Have another worker take the connections of every slot whose own takes none."""
        serving = [worker for worker in self._workers if worker.is_serving]
        if self._is_stopping or not serving:
            return
        for seat in self.seats:
            if any(worker.slot == seat.number for worker in serving):
                seat.give_to(None)
            elif seat.deputy not in serving:
                busy = Counter(each.deputy for each in self.seats)
                seat.give_to(min(serving, key=lambda worker: (not worker.is_ready, busy[worker])))

    def _patience(self, worker: WorkerProcess) -> float:
        return self._timing.frozen if worker.has_spoken else max(self._timing.frozen, self._timing.start)

    # --- what signals ask for

    def reload(self) -> None:
        """Have every worker read the configuration again."""
        for worker in self._workers:
            worker.send("reload")

    def roll(self) -> None:
        """Replace all workers, one after the other."""
        busy = (self._is_rolling, "one is under way"), (self._is_stopping, "stopping"), (not self._is_whole, "starting")
        if why_not := next((why for is_so, why in busy if is_so), None):
            self._log.warning("rolling_restart_refused", error=why_not)
        else:
            self._is_rolling = True
            self._begin(self._roll())

    async def _roll(self) -> None:
        self._log.info("rolling_restart", workers=len(self.seats))
        try:
            for seat in self.seats:
                if not await self._relieve(seat):
                    if self._is_stopping:
                        return
                    self._log.error("rolling_restart_failed", worker=seat.number, error="its replacement is not ready")
                    return
            self._log.info("rolling_restart_done", workers=len(self.seats))
        finally:
            self._is_rolling = False

    async def _relieve(self, seat: Seat) -> bool:
        """Put a new worker in the place of one that serves, which then finishes. Returns False if the old one stays."""
        if self._is_stopping:
            return False
        seat.is_being_relieved = True
        try:
            old = await self._take_over(seat)
        finally:
            seat.is_being_relieved = False
        if old is seat.worker:
            if old is None or old.is_over:
                self._begin(self._replace(seat, lived=0))
            return False
        if old is not None and not old.is_over:
            old.drain()
            if not await self._ends(old):
                old.kill()
        return True

    async def _take_over(self, seat: Seat) -> WorkerProcess | None:
        """Give a seat to a new worker when it is ready, and return the one that had it until then."""
        try:
            new = await self._spawn(seat, self._timing.start)
        except OSError as error:
            self._log.error("worker_not_started", worker=seat.number, error=str(error))
            return seat.worker
        with suppress(TimeoutError):
            async with asyncio.timeout(self._timing.start):
                await any_of(self._is_ready(new), new.ended.wait(), self._hurry.wait())
        old = seat.worker
        if new.is_ready and not self._is_stopping:
            seat.worker = new
            self._log.info("worker_started", worker=seat.number, pid=new.pid)
        elif new.accepting.is_set():
            new.drain()  # somebody may be connected to it
        elif not self._is_stopping:  # else it ends with all others
            new.kill()
        return old

    async def _is_ready(self, worker: WorkerProcess) -> None:
        while not worker.is_ready:  # noqa: ASYNC110 - what it waits for has no one event
            await asyncio.sleep(0.05)

    async def _ends(self, worker: WorkerProcess) -> bool:
        await any_of(worker.ended.wait(), self._hurry.wait(), asyncio.sleep(worker.drain_time + self._timing.kill))
        return worker.is_over or self._hurry.is_set()

    # --- the end

    def hurry(self) -> None:
        """Somebody has lost patience: do not wait for anything."""
        self._hurry.set()
        for worker in self._workers:
            worker.send("end")

    async def stop(self, *, skip_delay: bool = False) -> None:
        """Let all workers finish. Returns when all have ended."""
        self.health.is_draining = True
        if self._is_up:
            self._log.info("draining", workers=len(self._workers))
        delay = max((worker.drain_delay for worker in self._workers), default=0)
        if delay and not skip_delay:
            await any_of(asyncio.sleep(delay), self._hurry.wait())
        self._is_stopping = True
        await self._close()
        seconds = max((worker.drain_time for worker in self._workers), default=0) + self._timing.kill
        await any_of(self._all_ended(), asyncio.sleep(seconds), self._hurried())
        for worker in self._workers:
            worker.kill()
        await self._all_ended()
        await asyncio.sleep(0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for descriptor in self._shelf:
            os.close(descriptor)
        if self._is_up:
            self._log.info("drained")

    async def _close(self) -> None:
        """Have the workers empty the queues, then close the sockets: nobody who is connected is lost."""
        half_way = False
        for descriptor in self.plan.ours:
            with socket.socket(fileno=os.dup(descriptor)) as sock:
                half_way |= refuse_handshakes(sock)
        if half_way:
            await any_of(asyncio.sleep(ROUND_TRIP), self._hurry.wait())
        for worker in self._workers:
            worker.drain()
        closed = all_of([worker.closed.wait() for worker in self._workers])
        await any_of(closed, asyncio.sleep(self._timing.close), self._hurry.wait())
        for descriptor in self.plan.served():
            os.close(descriptor)

    async def _all_ended(self) -> None:
        await all_of([worker.ended.wait() for worker in self._workers])

    async def _hurried(self) -> None:
        await self._hurry.wait()
        await asyncio.sleep(1)

    # --- metrics

    def numbers(self) -> Numbers:
        """Return what the parent itself counts."""
        return Numbers(
            {
                "gateway_workers": {(state,): number for state, number in self._states().items()},
                "gateway_worker_ends_total": {(how,): self.ends[how] for how in ENDS},
            }
        )

    def _states(self) -> Mapping[str, int]:
        """Return how many workers are in which state."""
        served = {worker.slot for worker in self._workers if worker.is_serving}
        states = Counter({"ready": 0, "unready": 0, "draining": 0, "missing": len(self.seats) - len(served)})
        for worker in self._workers:
            states["draining" if worker.is_draining else "ready" if worker.is_ready else "unready"] += 1
        return states

    def _pass_on(self, asker: WorkerProcess, number: int, question: bytes) -> None:
        self._begin(self._gathering.answer(asker, number, question))

    async def ask_all(self, question: int) -> None:
        """Wait until every worker has told its numbers."""
        await all_of([worker.scrape(question) for worker in self._workers])

    def _begin(self, job: Coroutine[Any, Any, object]) -> None:
        task = asyncio.create_task(job)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
