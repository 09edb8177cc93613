"""How many CPUs this process may use."""

import os
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


def usable_cpus(cgroups: Path = _CGROUPS, own: Path = Path("/proc/self/cgroup")) -> int:
    """Return the number of CPUs that this process may run on, or how much time its control groups grant; at least 1."""
    quota = _quota(cgroups, own)
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cpus if quota is None else min(cpus, round(quota)))


def _quota(cgroups: Path, own: Path) -> float | None:
    """Return the least number of CPUs that a control group of this process, or one above it, grants."""
    quotas = [quota for directory in _directories(cgroups, own) if (quota := _quota_of(directory)) is not None]
    return min(quotas, default=None)


def _directories(cgroups: Path, own: Path) -> list[Path]:
    """Return where quotas may stand: version 2 (one hierarchy), then version 1 (one for each controller)."""
    found = [cgroups, cgroups / "cpu"]
    for line in _text(own).splitlines():
        _, controllers, path = line.split(":", 2)
        root = cgroups if not controllers else cgroups / "cpu" if "cpu" in controllers.split(",") else None
        inner = Path(path.lstrip("/"))
        if root is not None and ".." not in inner.parts:
            found += [root / inner, *(root / above for above in inner.parents)]
    return found


def _quota_of(directory: Path) -> float | None:
    words = _text(directory / "cpu.max").split() or [
        _text(directory / "cpu.cfs_quota_us").strip(),
        _text(directory / "cpu.cfs_period_us").strip(),
    ]
    try:
        quota, period = int(words[0]), int(words[1])
    except (IndexError, ValueError):  # "max", or nothing is there
        return None
    return quota / period if quota > 0 and period > 0 else None


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
