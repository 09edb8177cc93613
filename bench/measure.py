"""One measurement: wrk on one side, the contender's own accounting in /proc on the other."""

import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

from bench.contenders import STATUS_PATH
from bench.processes import BenchError, Cores, MissingProgram, pinned_to

_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
_SCRIPT: Final = Path(__file__).with_name("wrk.lua")
# proc(5): utime, stime, cutime and cstime are fields 14 to 17, ppid is field 4; counted here after the name, field 2.
_PPID: Final = 1
_TIMES: Final = slice(11, 15)


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk is told."""

    connections: int
    tokens: Path
    cores: Cores
    upstream_port: int


@dataclass(frozen=True, slots=True)
class Sample:
    """The result of one measurement."""

    requests: int
    cpu_us: float
    """CPU time per request, user and system, of all processes of the contender."""
    rate: float
    busy: float
    """How much of its core the contender used: below 1, the load was the limit and not the contender."""
    others: float
    """How much of that core went to anything else: other processes, or the host of a virtual machine."""
    p50_ms: float
    p99_ms: float
    rss_mib: float
    errors: int
    unforwarded: int
    """Answers that came without a request to the upstream."""


def require_wrk() -> None:
    """Raise BenchError if there is no load generator."""
    if shutil.which("wrk") is None:
        raise MissingProgram("wrk is not installed")


def warm_up(load: Load, port: int, seconds: int) -> None:
    """Let caches fill and connections open."""
    if seconds:
        _wrk(load, port, seconds)


def measure(load: Load, pid: int, port: int, seconds: int) -> Sample:
    """Load the contender at `port`, whose first process is `pid`, for that many seconds."""
    core = load.cores.contender
    forwarded, before, used_before = _upstream_requests(load.upstream_port), cpu_seconds(pid), _core_seconds(core)
    started = time.monotonic()
    wrk = _wrk(load, port, seconds)
    cpu, used, elapsed = cpu_seconds(pid) - before, _core_seconds(core) - used_before, time.monotonic() - started
    # The second look at the counter is a request as well.
    forwarded = _upstream_requests(load.upstream_port) - forwarded - 1
    requests = wrk["requests"]
    if not requests:
        raise BenchError("no request was answered")
    return Sample(
        requests=requests,
        cpu_us=cpu * 1e6 / requests,
        rate=requests * 1e6 / wrk["duration_us"],
        busy=cpu / elapsed,
        others=max(0.0, used - cpu) / elapsed,
        p50_ms=wrk["p50_us"] / 1000,
        p99_ms=wrk["p99_us"] / 1000,
        rss_mib=resident_mib(pid),
        errors=wrk["refused"] + wrk["broken"],
        unforwarded=max(0, requests - forwarded),
    )


def _wrk(load: Load, port: int, seconds: int) -> dict[str, Any]:
    options = ["--threads", "1", "--connections", str(load.connections), "--duration", f"{seconds}s", "--latency"]
    command = ["wrk", *options, "--script", str(_SCRIPT), f"http://127.0.0.1:{port}/", "--", str(load.tokens)]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=pinned_to(load.cores.load), check=False)
    for line in done.stdout.splitlines():
        if line.startswith("BENCH "):
            report: dict[str, Any] = json.loads(line.removeprefix("BENCH "))
            return report
    raise BenchError(f"wrk failed: {(done.stderr or done.stdout).strip()[-200:]}")


def _upstream_requests(port: int) -> int:
    # stub_status of nginx: the third line is "accepts handled requests".
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", STATUS_PATH)
        return int(connection.getresponse().read().splitlines()[2].split()[2])
    finally:
        connection.close()


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
