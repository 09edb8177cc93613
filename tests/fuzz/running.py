"""Runs the fuzzer on a target, and tells what came of it."""

import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tests.fuzz.places import CORPUS, CRASHES, HERE, WORK

LONGEST = 4096
"""Bytes of an input, where a target does not say otherwise."""
_PATIENCE = 60
"""Seconds that one input may take."""
_MEMORY = 2048
"""MiB that a run may take."""


def is_available() -> bool:
    """Say whether the fuzzer is installed."""
    return find_spec("atheris") is not None


@dataclass(frozen=True, slots=True)
class Run:
    """What came of a run. `edges` is libFuzzer's count; `crash` is an input that a check failed on."""

    target: str
    executions: int
    edges: int
    is_clean: bool
    crash: Path | None
    output: str

    def __str__(self) -> str:
        line = f"{self.target}: {self.executions} inputs, {self.edges} edges"
        if self.is_clean:
            return f"{line}, no finding"
        if self.crash is None:
            return f"{line}, FAILED\n{self.output[-4000:]}"
        again = f"python -m tests.fuzz {self.target} --input {self.crash.relative_to(HERE.parent.parent)}"
        return f"{line}, FINDING\n{self.output[-4000:]}\nto see it again: {again}"


def run(target: str, *, seconds: int, runs: int = -1, seed: int = 0, work: Path | None = None) -> Run:
    """Fuzz one target in a process of its own."""
    found = (work or WORK) / target
    for directory in (found, CRASHES):
        directory.mkdir(parents=True, exist_ok=True)
    before = set(CRASHES.glob(f"{target}-*"))
    dictionary = HERE / "dictionaries" / f"{target}.dict"
    command = [
        *(sys.executable, "-m", "tests.fuzz.guided", target),
        *(f"-max_total_time={seconds}", f"-runs={runs}", f"-seed={seed}"),
        *(f"-max_len={LONGEST}", f"-timeout={_PATIENCE}", f"-rss_limit_mb={_MEMORY}"),
        *([f"-dict={dictionary}"] if dictionary.exists() else []),
        *(
            "-report_slow_units=60",
            f"-artifact_prefix={CRASHES}/{target}-",
            "-print_final_stats=1",
            str(found),
            str(CORPUS / target),
        ),
    ]
    done = subprocess.run(
        command, cwd=HERE.parent.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    output = done.stdout.decode("utf-8", "replace")
    crash = next(iter(set(CRASHES.glob(f"{target}-*")) - before), None)
    return Run(target, _last(_EXECUTIONS, output), _last(_EDGES, output), done.returncode == 0, crash, output)


_EXECUTIONS = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_EDGES = re.compile(r"\bcov: (\d+)")


def _last(pattern: re.Pattern[str], output: str) -> int:
    found = pattern.findall(output)
    return int(found[-1]) if found else 0
