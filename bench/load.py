"""The load generators: each is a process on a core of its own that prints what it counted."""

import json
import math
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.processes import ROOT, BenchError, Cores, pinned_to, program_path
from bench.scene import Ports, Scene
from bench.works import Work

_SCRIPT: Final = Path(__file__).with_name("wrk.lua")
_MARK: Final = "BENCH "
_PATIENCE: Final = 60


@dataclass(frozen=True, slots=True)
class Counted:
    """What a closed loop has seen: each connection sends the next request when it has the answer to the last."""

    requests: int
    seconds: float
    refused: int
    """Answers with a status from 400 up."""
    broken: int


@dataclass(frozen=True, slots=True)
class Latencies:
    """What an open loop has seen: requests come at a constant rate, and a late one counts from when it was due."""

    rate: float
    """Requests a second that were sent."""
    p50_ms: float
    p99_ms: float
    p999_ms: float
    wrong: int


class Load:
    """Runs load generators."""

    def __init__(self, scene: Scene, cores: Cores) -> None:
        self._scene = scene
        self._cores = cores
        self._sent: dict[Work, int] = {}

    @property
    def core(self) -> int:
        """The core of what is loaded."""
        return self._cores.contender

    def closed(self, work: Work, ports: Ports, seconds: float, *, is_pinned: bool = True) -> Counted:
        """Let as many requests be answered as can be."""
        counted = self._run(
            self._chat(work, ports, seconds) if work.is_websocket else self._wrk(work, ports, seconds),
            seconds,
            is_pinned,
        )
        # Tokens that must be new to the contender go on where the last measurement ended.
        self._sent[work] = self._sent.get(work, 0) + counted["requests"]
        return Counted(counted["requests"], counted["duration_us"] / 1e6, counted["refused"], counted["broken"])

    def open(self, port: int, seconds: float, rate: float) -> Latencies:
        """Send basic requests at a constant rate."""
        options = ["--port", port, "--rate", round(rate), "--seconds", seconds, "--tokens", self._scene.material.tokens]
        command = [sys.executable, "-m", "bench.steady", *map(str, options)]
        counted = self._run(command, seconds, is_pinned=True)
        return Latencies(**counted)

    def _wrk(self, work: Work, ports: Ports, seconds: float) -> list[str]:
        url = f"https://127.0.0.1:{ports.tls}/" if work.is_tls else f"http://127.0.0.1:{ports.http}/"
        # wrk knows whole seconds only.
        connections = self._scene.connections * work.breadth
        options = ["--threads", 1, "--connections", connections, "--duration", f"{math.ceil(seconds)}s"]
        tokens = getattr(self._scene.material, work.tokens)
        words = [tokens, work.path, work.routes, work.body, self._sent.get(work, 0)]
        return [program_path("wrk"), *map(str, [*options, "--script", _SCRIPT, url, "--", *words])]

    def _chat(self, work: Work, ports: Ports, seconds: float) -> list[str]:
        token = self._scene.material.valid
        connections = self._scene.connections * work.breadth
        options = ["--port", ports.http, "--connections", connections, "--seconds", seconds]
        return [sys.executable, "-m", "bench.chat", *map(str, options), "--token", token]

    def _run(self, command: list[str], seconds: float, is_pinned: bool) -> dict[str, Any]:
        try:
            done = subprocess.run(
                command,
                cwd=ROOT,
                capture_output=True,
                text=True,
                # This very process is where the load belongs; so nothing has to run between fork and exec of a thread.
                preexec_fn=None if is_pinned else pinned_to(self._cores.rest),
                timeout=seconds + _PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise BenchError(f"the load generator did not end: {command[0]}") from error
        for line in done.stdout.splitlines():
            if line.startswith(_MARK):
                counted: dict[str, Any] = json.loads(line.removeprefix(_MARK))
                return counted
        said = (done.stderr or done.stdout).strip().splitlines()
        raise BenchError(f"the load generator failed: {said[-1][-200:] if said else done.returncode}")
