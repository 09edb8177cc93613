"""Where a run takes place: starts what is measured, checks it, and measures it by turns."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from bench.checks import check_answers, check_work
from bench.contenders import LOGGING, Contender
from bench.idle_clients import holding
from bench.load import Load
from bench.measure import Job, await_idle, measure, resident_mib
from bench.nginx import upstream_command
from bench.processes import BenchError, Cores, NothingAnswered, Processes, free_ports
from bench.results import IdleMemory, Measured, RowResult, Steady
from bench.rows import Case, Row
from bench.scene import Ports, Scene
from bench.works import BASIC

_LONGEST_WARM_UP: Final = 20.0
_PASSES: Final = 10
"""With each, half of the tokens that a process of two has not seen yet get to it."""
DIRECT: Final = "direct"
_MOST_AT_A_CONSTANT_RATE: Final = 10_000
"""Requests a second: beyond, the load generator would measure itself."""


@dataclass(frozen=True, slots=True)
class Runner:
    """A contender that runs and answers rightly."""

    contender: Contender
    name: str
    pid: int
    ports: Ports


class Stage:
    """Holds the upstreams and the load, and whatever is being measured."""

    def __init__(self, scene: Scene, processes: Processes, cores: Cores, seconds: float, warm_up: float) -> None:
        self._scene = scene
        self._processes = processes
        self._cores = cores
        self._seconds = seconds
        self._warm_up = warm_up
        self._load = Load(scene, cores)
        self._tokens = len(scene.material.tokens.read_text().split())

    def open(self) -> None:
        """Start the upstreams."""
        load = {self._cores.load}
        upstream = self._scene.inside("upstream")
        self._processes.start("the-upstream", upstream_command(upstream), load, self._scene.upstream_port)
        echo = [sys.executable, "-m", "bench.echo", "--port", str(self._scene.echo_port)]
        self._processes.start("the-echo", echo, load, self._scene.echo_port)

    @contextmanager
    def running(self, key: str, contenders: Sequence[Contender]) -> Iterator[dict[Contender, Runner | BenchError]]:
        """Run contenders, each once; what comes instead is why one does not run."""
        with self._processes.until_done():
            yield {contender: self._started(f"{key}-{contender.slug}", contender) for contender in contenders}

    def _started(self, name: str, contender: Contender) -> Runner | BenchError:
        ports = Ports(*free_ports(4))
        try:
            command = contender.command(self._scene.inside(name), ports)
            cores = self._cores.of(is_pinned=contender.is_pinned)
            pid = self._processes.start(name, command, cores, ports.http)
            check_answers(contender, ports, self._scene.material)
            if contender.setup is not None and contender.setup.console:
                self._watch(name, ports)
            await_idle(pid)
        except OSError as error:
            return _said(contender, BenchError(f"could not be started: {error}"))
        except BenchError as error:
            return _said(contender, error)
        return Runner(contender, name, pid, ports)

    def _watch(self, name: str, ports: Ports) -> None:
        """Let an operator look at a gateway, beside the load."""
        [port] = free_ports(1)
        command = [sys.executable, "-m", "bench.operator", "--port", str(port)]
        command += ["--gateway", str(ports.http), "--admin", str(ports.admin)]
        self._processes.start(f"{name}-operator", command, {self._cores.load}, port)

    def measure_row(
        self,
        row: Row,
        rounds: int,
        kept: Mapping[Contender, Runner | BenchError],
        meanwhile: Callable[[RowResult, dict[Contender, Runner]], None] | None = None,
    ) -> RowResult:
        """Measure the cases of a row by turns. What is not `kept` running is started for it.

        `meanwhile` is called when that is done and all still run.
        """
        result = RowResult(row, {case: Measured() for case in row.cases})
        missing = [contender for contender in row.contenders if contender not in kept]
        with self.running(row.key, missing) as new:
            started = {**kept, **new}
            runners = {contender: it for contender, it in started.items() if isinstance(it, Runner)}
            for case, measured in result.measured.items():
                if isinstance(runner := started[case.contender], BenchError):
                    measured.failure = runner
                else:
                    self._prepare(measured, case, runner)
            for number in range(rounds):
                self._round(result, runners, number, f"{row.title} {number + 1}/{rounds}")
            if meanwhile is not None:
                meanwhile(result, runners)
        return result

    def _prepare(self, measured: Measured, case: Case, runner: Runner) -> None:
        """Let caches fill and connections open."""
        try:
            check_work(case.work, runner.ports, self._scene.material)
            self._load_once(case, runner)
        except BenchError as error:
            _fail(measured, case, error)

    def _load_once(self, case: Case, runner: Runner) -> None:
        """Load for the time of the warm-up, and go on until each route had a request and each process each token."""
        setup = case.contender.setup
        passes = 1 if setup is None or setup.processes == 1 else _PASSES
        enough = max(case.work.routes, passes * self._tokens)
        answered, deadline = 0, time.monotonic() + _LONGEST_WARM_UP
        while self._warm_up and answered < enough and time.monotonic() < deadline:
            pinned = case.contender.is_pinned
            answered += self._load.closed(case.work, runner.ports, self._warm_up, is_pinned=pinned).requests

    def _round(self, result: RowResult, runners: dict[Contender, Runner], number: int, title: str) -> None:
        # Every second round goes backwards, so that no one always follows the same neighbour's heat.
        cases = [case for case in result.row.cases if result.measured[case].failure is None][:: 1 - number % 2 * 2]
        for together in [cases] if result.row.at_once else [[case] for case in cases]:
            self._sample(result, together, runners, number)
        done = {case: measured.samples.get(number) for case, measured in result.measured.items()}
        said = [f"{case.contender.name} {sample.cpu_us:.1f}" for case, sample in done.items() if sample is not None]
        say(f"{title}: {', '.join(said)}")

    def _sample(self, result: RowResult, cases: Sequence[Case], runners: dict[Contender, Runner], number: int) -> None:
        jobs = [_job(case, runners[case.contender]) for case in cases]
        try:
            samples = measure(self._load, jobs, self._seconds, self._scene.upstream_port) if jobs else []
        except NothingAnswered as error:
            say(f"{', '.join(case.contender.name for case in cases)}: {error}")
            return
        except BenchError as error:
            for case in cases:
                _fail(result.measured[case], case, error)
            return
        for case, sample in zip(cases, samples, strict=True):
            result.measured[case].samples[number] = sample
            if case.contender is LOGGING:
                # The access log is a file, which must not fill the disk.
                self._processes.log_of(runners[case.contender].name).open("wb").close()

    def measure_latencies(
        self, result: RowResult, runners: dict[Contender, Runner], rounds: int, seconds: float
    ) -> dict[str, Steady]:
        """Ask each contender at half of the rate that it reached, and the upstream itself at that of the first one."""
        asked: dict[str, tuple[Steady, int]] = {}
        for case, measured in result.measured.items():
            rate = measured.spread(lambda sample: sample.rate)
            if rate is None or case.work is not BASIC:
                continue
            half = min(rate.middle / 2, _MOST_AT_A_CONSTANT_RATE)
            if not asked:
                asked[DIRECT] = (Steady(DIRECT, half), self._scene.plain_port)
            name = case.contender.name
            asked[name] = (Steady(name, half), runners[case.contender].ports.http)
        for number in range(rounds):
            for steady, port in asked.values():
                self._steady_once(steady, port, seconds)
            say(f"latencies {number + 1}/{rounds}")
        return {name: steady for name, (steady, _) in asked.items()}

    def _steady_once(self, steady: Steady, port: int, seconds: float) -> None:
        if steady.failure is not None:
            return
        try:
            latencies = self._load.open(port, seconds, steady.rate)
            if latencies.wrong:
                raise BenchError(f"{latencies.wrong} wrong or lost answers at a constant rate")
        except BenchError as error:
            steady.failure = error
            say(f"{steady.name}: {error}")
        else:
            steady.rounds.append(latencies)

    def measure_idle(self, contender: Contender, connections: int) -> IdleMemory:
        """Hold that many idle connections, each of which has had an answer."""
        with self.running("idle", [contender]) as started:
            runner = started[contender]
            if isinstance(runner, BenchError):
                raise runner
            before = resident_mib(runner.pid)
            with holding(connections, runner.ports.http, self._scene.material.tokens, self._cores.load):
                holding_mib = resident_mib(runner.pid)
            result = IdleMemory(contender.name, connections, before, holding_mib)
            say(f"{connections:,} idle connections: {contender.name} {result.kib_each:.1f} KiB each")
            return result


def _job(case: Case, runner: Runner) -> Job:
    return Job(case.work, runner.pid, runner.ports, case.contender.is_pinned)


def _fail(measured: Measured, case: Case, error: BenchError) -> None:
    measured.failure = _said(case.contender, error)


def _said(contender: Contender, error: BenchError) -> BenchError:
    say(f"{contender.name}: {error}")
    return error


def say(text: str) -> None:
    """Tell whoever waits."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
