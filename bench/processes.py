"""Processes that are pinned to one core and do not outlive the run."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

ROOT: Final = Path(__file__).resolve().parent.parent
STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_START_SECONDS: Final = 15.0
_STOP_SECONDS: Final = 5.0


class BenchError(Exception):
    """Something the run needs failed; the message is for the person who started it."""


class MissingProgram(BenchError):
    """A program is not installed, which says nothing about a contender."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Which core carries the contender, and which one the load generator and the upstream."""

    contender: int
    load: int


def choose_cores() -> Cores:
    """Return the outermost two of the cores this process may use: neighbours are often threads of one core."""
    allowed = sorted(os.sched_getaffinity(0))
    return Cores(contender=allowed[-1], load=allowed[0])


def pinned_to(core: int) -> Callable[[], None]:
    """Return what a child process calls to stay on `core`, with all that it starts."""
    return lambda: os.sched_setaffinity(0, {core})


def free_ports(count: int) -> list[int]:
    """Return that many different loopback ports nobody listens on now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


class Processes:
    """The processes of a run; leaving the context ends them all, in whatever way it is left."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, command: Sequence[str], core: int, port: int) -> int:
        """Start `command` on `core`, wait until it listens on `port`, and return its process id."""
        log = self._directory / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=pinned_to(core),
            )
        self._running.append(process)
        _await_listening(process, port, log)
        return process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # An impatient second Ctrl-C waits until all are gone.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        for process in self._running:
            _signal_group(process, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        for process in self._running:
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
