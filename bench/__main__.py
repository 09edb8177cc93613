"""`python -m bench`: what a request costs this gateway, and other proxies beside it."""

import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from bench import report
from bench.conditions import conditions
from bench.course import Course
from bench.material import make_material
from bench.pages import write_pages
from bench.plan import Plan, parse
from bench.processes import STOP_SIGNALS, BenchError, Processes, choose_cores, free_ports, program_path
from bench.results import Results
from bench.scene import Scene
from bench.stage import Stage, say

_NEW_TOKENS: Final = 20_000
"""Twice as many as the gateway remembers."""


def main() -> int:
    """Run the benchmark; the exit status is 1 if a contender failed, 2 if nothing could be measured."""
    plan = parse(sys.argv[1:])
    # A run that is told to stop is cleaned up like an interrupted one.
    for number in STOP_SIGNALS:
        signal.signal(number, signal.default_int_handler)
    began = time.monotonic()
    try:
        results = _run(plan)
        print(f"\n{report.markdown(results)}\n\nwritten to {report.write(results)}.md and .json")
        if plan.is_to_write_docs:
            write_pages(results)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nbench: stopped, nothing written", file=sys.stderr)
        return 130
    say(f"done in {time.monotonic() - began:.0f} s")
    return 1 if results.is_wrong else 0


def _run(plan: Plan) -> Results:
    program_path("wrk")
    cores = choose_cores()
    results = Results(conditions(plan.facts))
    with tempfile.TemporaryDirectory(prefix="bench-") as name, Processes(Path(name)) as processes:
        directory = Path(name)
        material = make_material(directory, plan.tokens, _NEW_TOKENS if "new" in plan.parts else 0)
        os.sched_setaffinity(0, {cores.load})
        upstream, plain, echo = free_ports(3)
        scene = Scene(directory, upstream, material, plan.connections, plain, echo)
        stage = Stage(scene, processes, cores, plan.seconds, plan.warm_up)
        stage.open()
        Course(plan, stage, results).run(directory, cores)
    return results


if __name__ == "__main__":
    sys.exit(main())
