"""What probes are told of several workers.

Ready: at least one worker is, and none has been missing for longer than a restart may take. A worker that is missing
for long makes the whole not ready, because the connections that the kernel puts into its queue wait: better that
others get them. So does one that has never been ready: it takes connections from the start, and answers them 503. One
whose connections another worker takes is not missing in this sense: nobody waits.
Live: the parent answers. Workers that need a restart are restarted by the parent, and not by killing all of them.
"""

import math
from collections.abc import Iterable
from time import monotonic

from gateway.telemetry.health import Report
from gateway.workers.process import WorkerProcess


class Seat:
    """Who serves the sockets of one slot, and since when nobody is ready to."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.worker: WorkerProcess | None = None
        self.has_started = False
        self.is_being_relieved = False
        """Another worker is being started for it."""
        self.hasty: WorkerProcess | None = None
        """One that closed unasked, and for which a replacement was tried before its end."""
        self.deputy: WorkerProcess | None = None
        """One of another slot that takes the connections of this one, while its own takes none."""
        self._ready_at = -math.inf

    @property
    def is_taken(self) -> bool:
        """Whether somebody serves, or soon will."""
        return self.is_being_relieved or (self.worker is not None and not self.worker.is_over)

    @property
    def has_closed(self) -> bool:
        """Whether its worker takes no more connections while it finishes, and nobody has tried to replace it yet."""
        worker = self.worker
        if worker is None or worker is self.hasty or self.is_being_relieved:
            return False
        return worker.closed.is_set() and not worker.is_over

    def give_to(self, deputy: WorkerProcess | None) -> None:
        """Have that one take the connections of this slot, and the one before not any more."""
        if deputy is not self.deputy:
            if self.deputy is not None:
                self.deputy.send("leave", self.number)
            if deputy is not None:
                deputy.send("adopt", self.number)
            self.deputy = deputy

    def look(self) -> bool:
        """Return whether somebody is ready, and note it."""
        worker, deputy = self.worker, self.deputy
        is_ready = worker is not None and worker.is_ready
        self.has_started = self.has_started or is_ready
        if is_ready or (deputy is not None and deputy.is_ready):
            self._ready_at = monotonic()
            return True
        return False

    def is_missing(self, patience: float) -> bool:
        return not self.look() and monotonic() - self._ready_at > patience

    def reasons(self) -> tuple[str, ...]:
        if self.worker is None or self.worker.is_over:
            could_start = self.worker is None or self.worker.accepting.is_set()
            return (f"worker {self.number}: {'ended' if could_start else 'cannot start'}",)
        return tuple(f"worker {self.number}: {reason}" for reason in self.worker.blocked_by or ("not answering",))


class FleetHealth:
    """Answers like `telemetry.health.Health`."""

    def __init__(self, seats: Iterable[Seat], patience: float) -> None:
        self._seats = list(seats)
        self._patience = patience
        self.is_draining = False

    def live(self) -> Report:
        return Report(())

    def started(self) -> Report:
        for seat in self._seats:
            seat.look()
            if seat.worker is not None and seat.worker.accepting.is_set():
                seat.has_started = True
        return Report(() if all(seat.has_started for seat in self._seats) else ("starting",))

    def ready(self) -> Report:
        blocked = list(self.started().blocked_by)
        if self.is_draining:
            blocked.append("draining")
        nobody = not sum(seat.look() for seat in self._seats)
        for seat in self._seats:
            if seat.is_missing(0 if nobody else self._patience):
                blocked.extend(seat.reasons())
        return Report(tuple(blocked))
