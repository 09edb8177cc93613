"""Processes that are pinned to one core and do not outlive the run."""

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

ROOT: Final = Path(__file__).resolve().parent.parent
STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_ENOUGH_CORES: Final = 4
# A gateway with 10,000 routes or a million revocations takes its time on a slow machine.
_START_SECONDS: Final = 120.0
# Below those that connections are given.
_PORTS: Final = range(18_000, 32_000)
_CHOICE: Final = random.SystemRandom()
_STOP_SECONDS: Final = 5.0


class BenchError(Exception):
    """Something the run needs failed; the message is for the person who started it."""


class MissingProgram(BenchError):
    """A program is not installed, which says nothing about a contender."""


class NothingAnswered(BenchError):
    """A measurement without a single answer: on a machine that is too busy, the next one may have some."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Which core carries the contender, and which one the load generator and the upstream.

    `pair` and `rest` are those of a contender with two workers, and of its load: apart where there are enough.
    """

    contender: int
    load: int
    pair: frozenset[int]
    rest: frozenset[int]

    def of(self, *, is_pinned: bool) -> frozenset[int]:
        """Return where a contender runs."""
        return frozenset({self.contender}) if is_pinned else self.pair


def choose_cores() -> Cores:
    """Return the outermost two of the cores this process may use: neighbours are often threads of one core."""
    allowed = sorted(os.sched_getaffinity(0))
    pair = allowed[-2:] if len(allowed) >= _ENOUGH_CORES else allowed
    rest = [core for core in allowed if core not in pair] or allowed
    return Cores(contender=allowed[-1], load=allowed[0], pair=frozenset(pair), rest=frozenset(rest))


def pinned_to(cores: Collection[int]) -> Callable[[], None]:
    """Return what a child process calls to stay on these cores, with all that it starts."""
    return lambda: os.sched_setaffinity(0, cores)


def program_path(name: str) -> str:
    """Return where an installed program is; raise MissingProgram if it is not."""
    # Debian keeps servers in sbin, which is not on every user's path.
    found = shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin")
    if found is None:
        raise MissingProgram(f"{name} is not installed")
    return found


def free_ports(count: int) -> list[int]:
    """Return that many different loopback ports nobody listens on now, and that no connection is given meanwhile."""
    with ExitStack() as stack:
        taken: list[int] = []
        while len(taken) < count:
            each = stack.enter_context(socket.socket())
            with suppress(OSError):
                each.bind(("127.0.0.1", _CHOICE.choice(_PORTS)))
                taken.append(each.getsockname()[1])
        return taken


class Processes:
    """The processes of a run; leaving the context ends them all, in whatever way it is left."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running: list[subprocess.Popen[bytes]] = []

    @contextmanager
    def until_done(self) -> Iterator[None]:
        """End what is started inside when it is left; what was started before goes on."""
        before = list(self._running)
        try:
            yield
        finally:
            self._end([process for process in self._running if process not in before])
            self._running = before

    def log_of(self, name: str) -> Path:
        """Return where the output of a process goes."""
        return self._directory / f"{name}.log"

    def start(self, name: str, command: Sequence[str], cores: Collection[int], port: int) -> int:
        """Start `command` on these cores, wait until it listens on `port`, and return its process id."""
        log = self.log_of(name)
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=pinned_to(cores),
            )
        self._running.append(process)
        _await_listening(process, port, log)
        return process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(self._running)

    @staticmethod
    def _end(running: Sequence["subprocess.Popen[bytes]"]) -> None:
        # An impatient second Ctrl-C waits until all are gone.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        for process in running:
            _signal_group(process, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        for process in running:
            _await_end(process, deadline)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _await_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise BenchError(f"ended at start: {_last_words(log)}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise BenchError(f"did not listen within {_START_SECONDS:.0f} s: {_last_words(log)}")


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    said = [line.strip() for line in lines if line.strip()]
    return said[-1][:200] if said else "(no output)"


def _await_end(process: subprocess.Popen[bytes], deadline: float) -> None:
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=max(0.1, deadline - time.monotonic()))
    # Also when the leader went in time: a worker of its group may not have.
    _signal_group(process, signal.SIGKILL)
    process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    # The process leads its own session, so its id is that of the group; a group that is gone is what is wanted.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
