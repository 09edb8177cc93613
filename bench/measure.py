"""One measurement: a load on one side, the contender's own accounting in /proc on the other."""

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final

from bench.answers import STATUS_PATH
from bench.load import Counted, Load
from bench.processes import BenchError, NothingAnswered
from bench.scene import Ports
from bench.works import Work

_SCHEDULED: Final = Path("/proc/self/schedstat")
_LOOKS: Final = 50
_LOOK: Final = 0.4
# A gateway with a store asks it for news: a few percent of a slow core.
_IDLE: Final = 0.06
_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
# proc(5): utime, stime, cutime and cstime are fields 14 to 17, ppid is field 4; counted here after the name, field 2.
_PPID: Final = 1
_TIMES: Final = slice(11, 15)


@dataclass(frozen=True, slots=True)
class Sample:
    """The result of one measurement."""

    requests: int
    cpu_us: float
    """CPU time per request, user and system, of all processes of the contender."""
    rate: float
    busy: float
    """How many cores the contender used: below 1, the load was the limit and not the contender."""
    others: float
    """How much of the contender's core went to anything else: other processes, or the host of a virtual machine."""
    rss_mib: float
    errors: int
    """Answers with another status than the right one, broken connections, answers the upstream was not asked for."""


@dataclass(frozen=True, slots=True)
class Job:
    """A contender, by its first process and its ports, and what it is to do."""

    work: Work
    pid: int
    ports: Ports
    is_pinned: bool


def measure(load: Load, jobs: Sequence[Job], seconds: float, upstream: int) -> list[Sample]:
    """Load contenders for that many seconds, all at once. `upstream` counts requests at its port."""
    forwarded, before, started = _settled_requests(upstream), _used(jobs), time.monotonic()
    core_before = _core_seconds(load.core)
    with ThreadPoolExecutor(len(jobs)) as pool:
        ask = [pool.submit(load.closed, job.work, job.ports, seconds, is_pinned=job.is_pinned) for job in jobs]
        counts = [each.result() for each in ask]
    used, elapsed = _used(jobs), time.monotonic() - started
    others = max(0.0, _core_seconds(load.core) - core_before - sum(used) + sum(before)) / elapsed
    if not all(counted.requests for counted in counts):
        raise NothingAnswered("no request was answered")
    # The second look at the counter is a request as well.
    lost = _lost(jobs, counts, _upstream_requests(upstream) - forwarded - 1)
    return [
        Sample(
            requests=counted.requests,
            cpu_us=(now - then) * 1e6 / counted.requests,
            rate=counted.requests / counted.seconds,
            busy=(now - then) / elapsed,
            others=others if job.is_pinned else 0.0,
            rss_mib=resident_mib(job.pid),
            errors=counted.broken + _wrong_answers(job.work, counted) + lost,
        )
        for job, counted, then, now in zip(jobs, counts, before, used, strict=True)
    ]


def _used(jobs: Sequence[Job]) -> list[float]:
    return [_busy_seconds(job.pid) for job in jobs]


def _wrong_answers(work: Work, counted: Counted) -> int:
    return counted.refused if work.status < 400 else counted.requests - counted.refused


def _lost(jobs: Sequence[Job], counts: Sequence[Counted], forwarded: int) -> int:
    """Return how many answers came without a request to the upstream, or requests got there that must not."""
    if any(job.work.is_websocket for job in jobs):
        return 0
    wanted = sum(counted.requests * job.work.forwarded for job, counted in zip(jobs, counts, strict=True))
    return max(0, wanted - forwarded) if wanted else forwarded


def _settled_requests(port: int) -> int:
    """Return how many requests the upstream has counted, when those of an earlier load have come to their end."""
    before = _upstream_requests(port)
    for _ in range(_LOOKS):
        time.sleep(0.02)
        now = _upstream_requests(port)
        if now == before + 1:
            break
        before = now
    return now


def _upstream_requests(port: int) -> int:
    # stub_status of nginx: the third line is "accepts handled requests".
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", STATUS_PATH)
        return int(connection.getresponse().read().splitlines()[2].split()[2])
    except (OSError, HTTPException) as error:
        raise BenchError(f"the upstream does not answer: {error!r}") from error
    finally:
        connection.close()


def await_idle(pid: int) -> None:
    """Wait, within reason, until a process has nothing to do: what belongs to its start is done."""
    for _ in range(_LOOKS):
        before = _busy_seconds(pid)
        time.sleep(_LOOK)
        if _busy_seconds(pid) - before < _LOOK * _IDLE:
            return


def _busy_seconds(pid: int) -> float:
    """Return the CPU time of a process and its living descendants, to the nanosecond where the kernel tells it."""
    if not _SCHEDULED.exists():
        return cpu_seconds(pid)
    stats = _stats()
    if pid not in stats:
        raise BenchError("the process is gone")
    return sum(map(_scheduled_seconds, _family(pid, stats)))


def _scheduled_seconds(pid: int) -> float:
    nanoseconds = 0
    for thread in Path(f"/proc/{pid}/task").glob("*"):
        with suppress(OSError):  # it has ended meanwhile
            nanoseconds += int((thread / "schedstat").read_text().split()[0])
    return nanoseconds / 1e9


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process, its living descendants and those it has waited for."""
    stats = _stats()
    if pid not in stats:
        raise BenchError("the process is gone")
    ticks = sum(int(ticks) for member in _family(pid, stats) for ticks in stats[member][_TIMES])
    return ticks / _TICKS_PER_SECOND


def _core_seconds(core: int) -> float:
    """Return how long a core was not idle: user, nice, system, irq, softirq and stolen time."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, ticks[:8])
            return (user + nice + system + irq + softirq + steal) / _TICKS_PER_SECOND
    return 0.0


def resident_mib(pid: int) -> float:
    """Return VmRSS summed over the processes of the contender; shared pages count once for each."""
    return sum(_resident_kib(member) for member in _family(pid, _stats())) / 1024


def _resident_kib(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


def _family(pid: int, stats: dict[int, list[str]]) -> list[int]:
    family = [pid]
    for member in family:
        family.extend(other for other, fields in stats.items() if int(fields[_PPID]) == member)
    return family


def _stats() -> dict[int, list[str]]:
    """Return the fields after the name of every process that can be read."""
    stats = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stats[int(entry.name)] = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
    return stats
