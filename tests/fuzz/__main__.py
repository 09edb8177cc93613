"""The command line of the fuzzers.

python -m tests.fuzz                              every target, a minute each
python -m tests.fuzz jwt config --seconds 3600    some, for longer
python -m tests.fuzz jwt --input FILE             one input, without the fuzzer: to see a failure again
python -m tests.fuzz jwt --keep                   add to the corpus what long runs found
"""

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz.places import CRASHES
from tests.fuzz.running import Run, is_available, run
from tests.fuzz.targets import TARGETS, load


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options().parse_args(arguments)
    targets = options.target or TARGETS
    if unknown := [name for name in targets if name not in TARGETS]:
        print(f"there is no target {', '.join(unknown)}; there are {', '.join(TARGETS)}")
        return 2
    if options.input is not None:
        for name in targets:
            load(name)(options.input.read_bytes())
        print("no finding")
        return 0
    if options.keep:
        from tests.fuzz.keeping import keep  # it needs no fuzzer, and the fuzzer not it

        for name in targets:
            print(keep(name))
        return 0
    if not is_available():
        print("atheris is not installed: it has wheels for CPython 3.11 to 3.13 on Linux x86-64")
        return 2
    return _fuzz(targets, options)


def _fuzz(targets: Sequence[str], options: argparse.Namespace) -> int:
    def one(target: str) -> Run:
        done = run(target, seconds=options.seconds, runs=options.runs, seed=options.seed, work=options.work)
        print(done, flush=True)
        return done

    with ThreadPoolExecutor(options.jobs) as pool:
        runs = list(pool.map(one, targets))
    failed = [each for each in runs if not each.is_clean]
    if failed:
        print(f"\n{len(failed)} of {len(runs)} targets failed; the inputs are in {CRASHES}")
    return 1 if failed else 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.fuzz", description="Fuzz the gateway, guided by coverage.")
    parser.add_argument("target", nargs="*", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=60, help="how long, for each target (60)")
    parser.add_argument("--runs", type=int, default=-1, help="end after so many inputs")
    parser.add_argument("--seed", type=int, default=0, help="of the random numbers; 0: another each time")
    parser.add_argument("--jobs", type=int, default=2, help="targets at a time (2)")
    parser.add_argument("--work", type=Path, help="where to put what is found (tests/fuzz/work)")
    parser.add_argument("--input", type=Path, help="check this one file instead")
    parser.add_argument("--keep", action="store_true", help="add what was found to the corpus instead")
    return parser


if __name__ == "__main__":
    sys.exit(main())
