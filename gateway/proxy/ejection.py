"""Which targets of an upstream are ejected because they failed requests. Pure: times (monotonic) are arguments.

A target that fails so many requests in a row is ejected, and comes back by itself. Its first outcome afterwards
decides: a success makes it as good as any, a failure ejects it for twice as long. What was asked of it before it was
ejected says nothing of how it is now, and does not count.
"""

from dataclasses import dataclass
from math import inf

from gateway.config.upstream_trouble import Ejection


@dataclass(slots=True)
class _Record:
    failures: int = 0
    """In a row."""
    times: int = 0
    """Ejections in a row."""
    until: float = 0
    is_out: bool = False


class Ejections:
    """The records of all targets of one upstream, which are known by their place."""

    def __init__(self, settings: Ejection, targets: int) -> None:
        self._settings = settings
        self._records = [_Record() for _ in range(targets)]
        self.most = max(1, targets * settings.most // 100)
        self.next_return = inf
        """When the next target comes back."""

    def is_bad(self, status: int) -> bool:
        """Say whether a status of the target's own is a failure."""
        return status in self._settings.statuses

    def is_watched(self, target: int) -> bool:
        """Say whether a success of this target would change anything."""
        record = self._records[target]
        return record.failures > 0 or record.times > 0

    def succeeded(self, target: int, asked_at: float) -> None:
        record = self._records[target]
        if not record.is_out and asked_at >= record.until:
            record.failures = record.times = 0

    def failed(self, target: int, asked_at: float, now: float) -> float:
        """Return for how many seconds the target is ejected because of this, 0 if it is not."""
        record, settings = self._records[target], self._settings
        if record.is_out or asked_at < record.until:
            return 0
        record.failures += 1
        if record.times == 0 and record.failures < settings.failures:
            return 0
        if sum(other.is_out for other in self._records) >= self.most:
            return 0
        seconds = min(settings.time * float(1 << min(record.times, 32)), settings.longest)
        record.failures = 0
        record.times += 1
        record.until = now + seconds
        record.is_out = True
        self._plan()
        return seconds

    def returned(self, now: float) -> list[int]:
        """Return the targets whose time is over; they are not ejected any more."""
        back = [place for place, record in enumerate(self._records) if record.is_out and record.until <= now]
        for place in back:
            self._records[place].is_out = False
        self._plan()
        return back

    def forgive(self, target: int, now: float) -> None:
        """Forget what a target did: it is known to be well again."""
        self._records[target] = _Record(until=now)
        self._plan()

    def _plan(self) -> None:
        self.next_return = min((record.until for record in self._records if record.is_out), default=inf)
