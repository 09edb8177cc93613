"""What a reader must know to compare one run with another."""

import os
import platform
import re
import subprocess
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.envoy import envoy_program
from bench.processes import MissingProgram, program_path


def conditions(options: dict[str, Any]) -> dict[str, Any]:
    """Return the conditions of a run, beside its own options."""
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "aiohttp": version("aiohttp"),
        "nginx": _number(_said("-v", lambda: program_path("nginx"))),
        "haproxy": _number(_said("-v", lambda: program_path("haproxy"))),
        "envoy": _number(_said("--version", envoy_program)),
        "load_average_before": round(os.getloadavg()[0], 2),
        **options,
    }


def session_conditions(options: dict[str, Any]) -> str:
    """Return the same for a run without other proxies, as lines."""
    facts = conditions(options) | {"redis": _said("-v", lambda: program_path("redis-server")).split(" sha=")[0]}
    others = ("nginx", "haproxy", "envoy", "aiohttp")
    return "\n".join(f"- {name}: {fact}" for name, fact in facts.items() if name not in others)


def _said(option: str, find: Callable[[], str]) -> str:
    """Return what a program says of its version, in its first line with words."""
    try:
        said = subprocess.run([find(), option], capture_output=True, text=True, check=False)
    except (MissingProgram, OSError):
        return "missing"
    lines = (said.stdout + said.stderr).strip().splitlines()
    return lines[0].strip() if lines else "unknown"


def _number(said: str) -> str:
    """Return what stands after the word version and looks like one."""
    found = re.search(r"version.*?(\d+\.\d+\.\d+)", said)
    return found[1] if found else said


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
