"""How many CPUs there are for us."""

import os
from pathlib import Path

import pytest

from gateway.workers.cpus import usable_cpus

NOWHERE = Path("/nonexistent")


@pytest.fixture(autouse=True)
def _sixteen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)


def written(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_without_a_quota_it_is_where_the_process_may_run() -> None:
    assert usable_cpus(NOWHERE, NOWHERE) == 16


@pytest.mark.parametrize(
    ("quota", "cpus"),
    [
        ("200000 100000", 2),
        ("max 100000", 16),
        ("150000 100000", 2),
        ("20000 100000", 1),
        ("9900000 100000", 16),
        ("", 16),
    ],
)
def test_the_quota_of_a_container_counts(tmp_path: Path, quota: str, cpus: int) -> None:
    written(tmp_path / "cpu.max", quota)
    assert usable_cpus(tmp_path, NOWHERE) == cpus


def test_the_least_quota_of_the_own_group_and_those_above_counts(tmp_path: Path) -> None:
    written(tmp_path / "own", "0::/pods/pod1/gateway\n")
    written(tmp_path / "groups/pods/pod1/gateway/cpu.max", "max 100000")
    written(tmp_path / "groups/pods/pod1/cpu.max", "300000 100000")
    written(tmp_path / "groups/pods/cpu.max", "800000 100000")
    assert usable_cpus(tmp_path / "groups", tmp_path / "own") == 3


def test_control_groups_of_the_first_version_count(tmp_path: Path) -> None:
    written(tmp_path / "own", "5:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n")
    written(tmp_path / "groups/cpu/docker/x/cpu.cfs_quota_us", "400000\n")
    written(tmp_path / "groups/cpu/docker/x/cpu.cfs_period_us", "100000\n")
    written(tmp_path / "groups/cpu/cpu.cfs_quota_us", "-1\n")
    written(tmp_path / "groups/cpu/cpu.cfs_period_us", "100000\n")
    assert usable_cpus(tmp_path / "groups", tmp_path / "own") == 4


def test_a_group_outside_of_what_is_seen_is_not_looked_for(tmp_path: Path) -> None:
    written(tmp_path / "own", "0::/../../other\n")
    written(tmp_path / "other/cpu.max", "100000 100000")
    assert usable_cpus(tmp_path / "groups", tmp_path / "own") == 16


def test_this_machine_has_at_least_one() -> None:
    assert usable_cpus() >= 1
