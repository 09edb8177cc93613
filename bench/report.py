"""Samples to medians, medians to a table."""

import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Final

from bench import tables
from bench.contenders import Contender, program_path
from bench.measure import Sample
from bench.processes import BenchError, MissingProgram

RESULTS: Final = Path(__file__).with_name("results")

_HEAD: Final = (
    *("contender", "CPU µs/req", "min-max", "vs gateway", "vs nginx", "req/s"),
    *("core busy", "others", "p50 ms", "p99 ms", "RSS MiB", "errors", "answers"),
)
_NOTES: Final = """\
- CPU µs/req: user and system time of the contender's own processes per answered request; median of the rounds.
  The ratios are formed within each round; of these, the median.
- The tokens come in turn, so a contender that remembers verified tokens is measured with a full memory of them.
  `--tokens` with more than it remembers shows the other case.
- core busy: how much of its core the contender used. Well below 100 %, load generator and upstream were the limit:
  req/s and latency then describe them.
- others: the most that anything else used of that core in a round. More than a few percent, the run is disturbed.
- Latency is that of a closed loop at full load, so mostly connections / req/s. RSS is summed over processes.
- errors: answers from status 400 up, broken connections, time-outs, and answers the upstream was never asked for.
  A single one makes the row WRONG."""


@dataclass(slots=True)
class Row:
    """What is known about a contender so far."""

    contender: Contender
    samples: list[Sample] = field(default_factory=list)
    failure: BenchError | None = None

    @property
    def errors(self) -> int:
        """How many requests of all rounds went wrong."""
        return sum(sample.errors + sample.unforwarded for sample in self.samples)

    @property
    def verdict(self) -> str:
        """Whether its answers are right, in a word."""
        if isinstance(self.failure, MissingProgram):
            return "missing"
        return "right" if self.is_right else "WRONG"

    @property
    def is_right(self) -> bool:
        """Whether its numbers may be used."""
        return self.failure is None and self.errors == 0 and bool(self.samples)

    def median(self, value: Callable[[Sample], float]) -> float:
        """Return the median over the rounds."""
        return median(value(sample) for sample in self.samples)


def conditions(options: dict[str, Any]) -> dict[str, Any]:
    """Return what a reader must know to compare this run with another."""
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cpu": _cpu_model(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "aiohttp": version("aiohttp"),
        "nginx": _program_version("nginx"),
        "haproxy": _program_version("haproxy"),
        "load_average_before": round(os.getloadavg()[0], 2),
        **options,
    }


def session_conditions(options: dict[str, Any]) -> str:
    """Return the same for a run without other proxies, as lines."""
    facts = conditions(options) | {"redis": _program_version("redis-server").split(" sha=")[0]}
    return "\n".join(f"- {name}: {fact}" for name, fact in facts.items() if name not in ("nginx", "haproxy", "aiohttp"))


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a table that is good Markdown and good to look at."""
    return tables.table(_HEAD, [_cells(row, rows) for row in rows])


def markdown(rows: Sequence[Row], facts: dict[str, Any]) -> str:
    """Return the whole report."""
    works = "\n".join(f"- {row.contender.name}: {row.failure or row.contender.work}" for row in rows)
    known = "\n".join(f"- {name}: {value}" for name, value in facts.items())
    return f"# Benchmark\n\n{table(rows)}\n\n{works}\n\n{_NOTES}\n\n## Conditions\n\n{known}\n"


def write(rows: Sequence[Row], facts: dict[str, Any]) -> str:
    """Write the report as Markdown and JSON, and return its name without ending."""
    RESULTS.mkdir(exist_ok=True)
    name = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    measured = [_record(row) for row in rows]
    (RESULTS / f"{name}.md").write_text(markdown(rows, facts))
    (RESULTS / f"{name}.json").write_text(json.dumps({"conditions": facts, "rows": measured}, indent=2) + "\n")
    return f"bench/results/{name}"


def _record(row: Row) -> dict[str, Any]:
    return {
        "contender": row.contender.name,
        "verdict": row.verdict,
        "failure": str(row.failure) if row.failure else None,
        "samples": [asdict(sample) for sample in row.samples],
    }


def _cells(row: Row, rows: Sequence[Row]) -> list[str]:
    if not row.samples:
        return [row.contender.name, *["-"] * (len(_HEAD) - 2), row.verdict]
    cpu = [sample.cpu_us for sample in row.samples]
    return [
        row.contender.name,
        f"{median(cpu):.1f}",
        f"{min(cpu):.1f}-{max(cpu):.1f}",
        _ratio(row, "gateway", rows),
        _ratio(row, "nginx", rows),
        f"{row.median(lambda sample: sample.rate):,.0f}",
        f"{row.median(lambda sample: sample.busy):.0%}",
        f"{max(sample.others for sample in row.samples):.0%}",
        f"{row.median(lambda sample: sample.p50_ms):.2f}",
        f"{row.median(lambda sample: sample.p99_ms):.2f}",
        f"{row.median(lambda sample: sample.rss_mib):.0f}",
        str(row.errors),
        row.verdict,
    ]


def _ratio(row: Row, other: str, rows: Sequence[Row]) -> str:
    for base in rows:
        if base.contender.name == other and base.is_right:
            # Round by round, because the machine's own speed drifts between rounds more than within one.
            pairs = zip(row.samples, base.samples, strict=False)
            return f"{median(mine.cpu_us / theirs.cpu_us for mine, theirs in pairs):.2f}"
    return "-"


def _program_version(name: str) -> str:
    try:
        path = program_path(name)
    except MissingProgram:
        return "missing"
    said = subprocess.run([path, "-v"], capture_output=True, text=True, check=False)
    return next(iter((said.stdout + said.stderr).splitlines()), "unknown")


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
