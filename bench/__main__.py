"""`python -m bench`: start the contenders, check them, measure them in turn, print the table."""

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import report
from bench.checks import check_answers
from bench.contenders import CONTENDERS, Contender, Scene, upstream_command
from bench.material import make_material
from bench.measure import Load, measure, require_wrk, warm_up
from bench.processes import STOP_SIGNALS, BenchError, Cores, Processes, choose_cores, free_ports
from bench.report import Row


@dataclass(frozen=True, slots=True)
class Plan:
    """What the command line asks for."""

    seconds: int
    rounds: int
    warm_up: int
    connections: int
    tokens: int
    only: tuple[Contender, ...]


@dataclass(frozen=True, slots=True)
class Runner:
    """A contender that runs and answers rightly."""

    row: Row
    pid: int
    port: int


def main() -> int:
    """Run the benchmark; the exit status is 1 if a contender failed, 2 if nothing could be measured."""
    plan = _parse()
    # A run that is told to stop is cleaned up like an interrupted one.
    for number in STOP_SIGNALS:
        signal.signal(number, signal.default_int_handler)
    try:
        rows, facts = _run(plan)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nbench: stopped, nothing written", file=sys.stderr)
        return 130
    print(f"\n{report.markdown(rows, facts)}\nwritten to {report.write(rows, facts)}.md and .json")
    return 1 if any(row.verdict == "WRONG" for row in rows) else 0


def _parse() -> Plan:
    names = {contender.name: contender for contender in CONTENDERS}
    parser = argparse.ArgumentParser(prog="python -m bench", description="CPU per request, side by side.")
    parser.add_argument("--seconds", type=_at_least(1), default=5, help="length of one measurement")
    parser.add_argument("--rounds", type=_at_least(1), default=5, help="measurements of each contender")
    parser.add_argument("--warm-up", type=_at_least(0), default=1, help="seconds of load before each measurement")
    parser.add_argument("--connections", type=_at_least(1), default=32, help="keep-alive connections")
    parser.add_argument("--tokens", type=_at_least(1), default=1000, help="different tokens, sent in turn")
    parser.add_argument("--only", default=",".join(names), help="contenders, separated by commas")
    options = parser.parse_args()
    wanted = options.only.split(",")
    if unknown := set(wanted) - set(names):
        parser.error(f"unknown contender {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    only = tuple(names[name] for name in dict.fromkeys(wanted))
    return Plan(options.seconds, options.rounds, options.warm_up, options.connections, options.tokens, only)


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"must be {least} or more")
        return int(text)

    return number


def _run(plan: Plan) -> tuple[list[Row], dict[str, object]]:
    require_wrk()
    cores = choose_cores()
    facts = report.conditions(_facts(plan, cores))
    os.sched_setaffinity(0, {cores.load})
    rows = [Row(contender) for contender in plan.only]
    _say(f"about {len(rows) * plan.rounds * (plan.seconds + plan.warm_up)} seconds of load")
    with tempfile.TemporaryDirectory(prefix="bench-") as name, Processes(Path(name)) as processes:
        directory = Path(name)
        upstream_port, *ports = free_ports(1 + len(rows))
        scene = Scene(directory, upstream_port, make_material(directory, plan.tokens), plan.connections)
        processes.start("the-upstream", upstream_command(scene), cores.load, upstream_port)
        load = Load(plan.connections, scene.material.tokens, cores, upstream_port)
        started = [_start(row, port, scene, processes, cores) for row, port in zip(rows, ports, strict=True)]
        _rounds([runner for runner in started if runner is not None], load, plan)
    return rows, facts


def _start(row: Row, port: int, scene: Scene, processes: Processes, cores: Cores) -> Runner | None:
    contender = row.contender
    try:
        pid = processes.start(contender.name, contender.command(scene, port), cores.contender, port)
        check_answers(contender, port, scene.material)
    except BenchError as error:
        row.failure = error
        _say(f"{contender.name}: {error}")
        return None
    return Runner(row, pid, port)


def _rounds(runners: Sequence[Runner], load: Load, plan: Plan) -> None:
    for number in range(plan.rounds):
        first = number % len(runners) if runners else 0
        # Each round begins with another contender, so that no one always follows the same neighbour's heat.
        for runner in [*runners[first:], *runners[:first]]:
            if runner.row.failure is None:
                _measure_once(runner, load, plan, f"round {number + 1}/{plan.rounds}")


def _measure_once(runner: Runner, load: Load, plan: Plan, title: str) -> None:
    name = runner.row.contender.name
    try:
        warm_up(load, runner.port, plan.warm_up)
        sample = measure(load, runner.pid, runner.port, plan.seconds)
    except BenchError as error:
        runner.row.failure = error
        _say(f"{title} {name}: {error}")
        return
    runner.row.samples.append(sample)
    _say(f"{title} {name}: {sample.cpu_us:.1f} µs CPU per request, {sample.rate:,.0f} requests/s")


def _facts(plan: Plan, cores: Cores) -> dict[str, object]:
    return {
        "core_of_the_contender": cores.contender,
        "core_of_load_and_upstream": cores.load,
        "seconds": plan.seconds,
        "rounds": plan.rounds,
        "warm_up": plan.warm_up,
        "connections": plan.connections,
        "tokens": plan.tokens,
    }


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
