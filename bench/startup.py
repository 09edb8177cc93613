"""`python -m bench.startup`: how long a gateway takes to be ready, and how much memory it has then.

With cached byte code, as an installed gateway has it. Memory is that of a process which has answered nothing yet. What
processes share counts for each of them as RSS, and in equal parts as PSS: also what others on this machine share.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from bench.filling import fill
from bench.fleets import SQLITE, Store, house_in, redis_store
from bench.lookups import revocations
from bench.material import AUDIENCE, ISSUER, make_material
from bench.measure import cpu_seconds
from bench.processes import BenchError
from bench.tables import table
from tests.clients.processes import Fleet, GatewayProcess
from tests.clients.workers import is_alive, workers_of

_HEAD: Final = ("case", "process", "CPU s until ready", "ready after s", "RSS MiB", "PSS MiB")
_PATIENCE: Final = 240.0
_IMPORT: Final = "import time; t = time.process_time(); import gateway.commands.serve; print(time.process_time() - t)"
_SIDECAR: Final = {
    "state": None,
    "sessions": None,
    "routes": [{"id": "api", "match": {"path": "/**"}, "upstream": "app"}],
}


@dataclass(frozen=True, slots=True)
class Case:
    """A gateway to start: its settings and its store. Over `crowd` revocations it is started once: it takes long."""

    name: str
    settings: Mapping[str, Any]
    store: Store = SQLITE
    crowd: int = 0


@dataclass(frozen=True, slots=True)
class Process:
    """What one process of a gateway took. CPU is that of the process and of those it has waited for."""

    name: str
    cpu: float
    rss_mib: float
    pss_mib: float


@dataclass(frozen=True, slots=True)
class Start:
    """One start."""

    ready_seconds: float
    processes: tuple[Process, ...]


def main() -> int:
    """Measure and print. The exit status is 2 if something could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.startup", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="starts of each case")
    parser.add_argument("--revocations", type=int, default=1_000_000, help="in the store of the last case")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as directory, _cached_byte_code(Path(directory)):
        try:
            _run(Path(directory), arguments.rounds, arguments.revocations)
        except BenchError as error:
            print(f"bench: {error}", file=sys.stderr)
            return 2
    return 0


@contextmanager
def _cached_byte_code(directory: Path) -> Iterator[None]:
    """Let processes that are started cache their byte code, whatever the environment says."""
    before = dict(os.environ)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(directory / "bytecode")
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _run(directory: Path, rounds: int, crowd: int) -> None:
    house = house_in(directory)
    jwks = make_material(directory, 1).jwks
    issuer = {"type": "jwt", "issuer": ISSUER, "audiences": [AUDIENCE], "jwks_file": str(jwks)}
    with redis_store("Redis", directory / "redis") as redis:
        cases = [
            Case("no sessions, one issuer, keys from a file", {**_SIDECAR, "authenticators": {"issuer": issuer}}),
            Case("sessions, SQLite", {}),
            Case("sessions, Redis", {}, redis),
            Case("sessions, SQLite, workers: 2", {"workers": 2}),
            Case(f"the same, {crowd:,} revocations", {"workers": 2}, crowd=crowd),
        ]
        rows = [row for number, case in enumerate(cases) for row in _rows(case, directory / str(number), house, rounds)]
    print(table(_HEAD, rows))
    print(f"\nCPU to import everything a gateway without sessions imports: {_import_seconds():.2f} s")


def _rows(case: Case, directory: Path, house: Path, rounds: int) -> Iterator[tuple[str, ...]]:
    fleet = Fleet(
        directory, house, {"url": case.store.url}, "http://127.0.0.1:9", changes={"admin": None, **case.settings}
    )
    try:
        if case.crowd:
            fleet.start(workers=1).stop()  # makes the file
            asyncio.run(fill(case.store, directory, revocations(case.crowd)))
            rounds = 1
        else:
            _start(fleet, case)  # caches byte code
        starts = [_start(fleet, case) for _ in range(rounds)]
    finally:
        fleet.stop()
    for place, same in enumerate(zip(*(start.processes for start in starts), strict=True)):
        ready = f"{median(start.ready_seconds for start in starts):.2f}" if place == 0 else ""
        yield (
            case.name if place == 0 else "",
            same[0].name,
            f"{median(each.cpu for each in same):.2f}",
            ready,
            f"{median(each.rss_mib for each in same):.0f}",
            f"{median(each.pss_mib for each in same):.0f}",
        )


def _start(fleet: Fleet, case: Case) -> Start:
    began = time.perf_counter()
    gateway = fleet.launch()
    while not _is_ready(gateway, case):
        if time.perf_counter() - began > _PATIENCE or not is_alive(gateway.pid):
            raise BenchError(f"{case.name}: not ready: {gateway.text()[-200:]}")
        time.sleep(0.01)
    seconds = time.perf_counter() - began
    processes = _processes(gateway, case)
    gateway.stop()
    return Start(seconds, processes)


def _is_ready(gateway: GatewayProcess, case: Case) -> bool:
    """Say whether all workers are. Metrics cost them time, so they are asked for last."""
    if gateway.readiness() != 200 or "workers" not in case.settings:
        return gateway.readiness() == 200
    workers = case.settings["workers"]
    if not any(event.get("workers") == workers for event in gateway.events("listening")):
        return False
    return not case.crowd or gateway.metric("gateway_workers", state="ready") == float(workers)


def _processes(gateway: GatewayProcess, case: Case) -> tuple[Process, ...]:
    if "workers" not in case.settings:
        return (_process("gateway", gateway.pid),)
    workers = [_process(f"worker {number}", pid) for number, pid in sorted(workers_of(gateway).items())]
    return (_process("parent", gateway.pid, less=sum(each.cpu for each in workers)), *workers)


def _process(name: str, pid: int, less: float = 0) -> Process:
    sizes = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        field, size, *_ = line.split()
        sizes[field] = int(size) / 1024
    return Process(name, cpu_seconds(pid) - less, sizes["Rss:"], sizes["Pss:"])


def _import_seconds() -> float:
    command = [sys.executable, "-c", _IMPORT]
    return min(float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(5))


if __name__ == "__main__":
    sys.exit(main())
