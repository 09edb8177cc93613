"""The audit log: where its lines go, and what becomes of them when they cannot go there."""

import asyncio
import contextlib
import io
import json
import os
import select
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.telemetry.audit import EVENTS, AuditLog, Outlet
from gateway.telemetry.audit_asker import ASKER, Asker
from gateway.telemetry.audit_file import AuditFile
from gateway.telemetry.lines import LineWriter
from gateway.telemetry.log import Log
from gateway.telemetry.log_settings import LogSettings
from tests.trips.wire import eventually

_WRITING = """
import sys
from pathlib import Path
from gateway.telemetry.audit import AuditLog, Outlet

log = AuditLog(Outlet.opened(Path(sys.argv[1]), Path()), worker=int(sys.argv[2]))
for number in range(400):
    log.write("login_failed", login="x" * 200, number=number)
log.close(patience=30)
"""


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def log_to(path: Path, **settings: Any) -> AuditLog:
    return AuditLog(Outlet.opened(path, path.parent), **settings)


def events_of(path: Path) -> list[str]:
    return [line["event"] for line in lines(path)]


def test_a_line_says_what_happened_and_who_asked(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    log = log_to(path, worker=3)
    token = ASKER.set(Asker("r-1", "192.0.2.7", "admin token"))
    log.write("admin_change", action="end_sessions", ended=2)
    ASKER.reset(token)
    log.write("gateway_stopped", actor="gateway")
    log.close()
    first, second = lines(path)
    assert first.pop("time").endswith("Z")
    assert first == {
        "log": "audit",
        "event": "admin_change",
        "worker": 3,
        "request_id": "r-1",
        "address": "192.0.2.7",
        "actor": "admin token",
        "action": "end_sessions",
        "ended": 2,
    }
    assert (second["request_id"], second["address"], second["actor"]) == (None, None, "gateway")


def test_a_new_file_is_for_its_owner_alone_and_one_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    new, old = tmp_path / "new.log", tmp_path / "old.log"
    old.touch(mode=0o640)
    old.chmod(0o640)
    before = os.umask(0)
    try:
        for path in (new, old):
            log = log_to(path)
            log.write("gateway_started")
            log.close()
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (new, old)] == [0o600, 0o640]


@pytest.mark.parametrize("move", [lambda path: path.rename(path.with_suffix(".1")), lambda path: path.unlink()])
async def test_a_file_that_was_moved_away_is_made_anew(tmp_path: Path, move: Callable[[Path], Any]) -> None:
    path = tmp_path / "audit.log"
    log = log_to(path)
    log.write("gateway_started")
    await eventually(path.read_text)
    move(path)
    log.write("gateway_stopped")
    log.close()
    assert events_of(path) == ["gateway_stopped"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_several_processes_append_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    children = [subprocess.Popen([sys.executable, "-c", _WRITING, str(path), str(worker)]) for worker in range(3)]
    assert [child.wait() for child in children] == [0, 0, 0]
    for worker in range(3):
        assert [line["number"] for line in lines(path) if line["worker"] == worker] == list(range(400))


def test_no_value_makes_a_line_longer_than_a_pipe_takes_at_once(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    log = log_to(path)
    long = dict.fromkeys(("login", "reason", "client_id", "endpoint"), "😀\n" * 1000)
    log.write("login_failed", **long, mistakes=["y" * 900] * 5)
    log.close()
    [line] = path.read_bytes().splitlines()
    assert len(line) < select.PIPE_BUF
    assert json.loads(line)["login"].startswith("\U0001f600\n\U0001f600")


def test_nothing_is_written_where_nobody_wants_it(tmp_path: Path) -> None:
    log = AuditLog()
    log.write("gateway_started")
    log.close()
    assert not log.is_on
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        AuditLog().prepared(Path("nowhere/audit.log"), tmp_path)


async def test_the_former_file_says_that_it_is_the_end(tmp_path: Path) -> None:
    """Whoever can change the configuration cannot end the log without a trace."""
    first = tmp_path / "first.log"
    log = log_to(first)
    log.adapt(log.prepared(None, tmp_path))
    assert not log.is_on
    log.write("gateway_stopped")
    await eventually(first.read_text)
    assert [(line["event"], line["to"]) for line in lines(first)] == [("audit_log_moved", None)]


async def test_a_reader_that_is_stuck_costs_lines_and_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    told = io.StringIO()
    log = AuditLog(Outlet(path, LineWriter(AuditFile(path), is_shared=True, max_waiting=50_000)))
    watch = asyncio.create_task(log.keep_telling(Log(LogSettings(), told)))
    for number in range(1_000):  # more than the pipe holds and more than may wait
        log.write("login_failed", number=number, login="x" * 150)
    assert log.lost > 0
    await eventually(told.getvalue)
    received = b""

    def is_taken() -> bool:
        nonlocal received
        with contextlib.suppress(BlockingIOError):
            received += os.read(reader, 1 << 20)
        return "audit_log_restored" in told.getvalue()

    await eventually(is_taken)
    watch.cancel()
    log.close()
    while piece := os.read(reader, 1 << 20):
        received += piece
    os.close(reader)
    assert len(received.splitlines()) == 1_000 - log.lost
    assert [json.loads(line)["event"] for line in told.getvalue().splitlines()] == [
        "audit_log_failed",
        "audit_log_restored",
    ]
    assert list(log.dropped()) == [((), log.lost)]


def test_what_is_torn_by_a_full_disk_spoils_no_other_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "audit.log"
    log = log_to(path)
    room = [10]

    def some(descriptor: int, block: bytes) -> int:
        if not room:
            return os.write(descriptor, block)
        if size := room.pop():
            room.append(0)
            return os.write(descriptor, block[:size])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gateway.telemetry.audit_file.write_some", some)
    log.write("gateway_started")
    log.write("gateway_stopped")
    log.close()
    torn, whole = path.read_text().splitlines()
    assert (len(torn), json.loads(whole)["event"], log.lost) == (10, "gateway_stopped", 1)


def test_keys_of_an_issuer_that_are_the_same_are_no_news(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    log = log_to(path)
    for keys, withdrawn in ((2, 0), (2, 0), (3, 0), (3, 1), (3, 0)):
        log.notice("keys_fetched", {"authenticator": "main", "keys": keys, "withdrawn": withdrawn, "skipped": []})
    log.notice("target_healthy", {"upstream": "app"})
    log.notice("users_file_failed", {"file": "users", "error": "line 1"})
    log.close()
    assert [(line["event"], line.get("keys"), line.get("reason")) for line in lines(path)] == [
        ("issuer_keys_changed", 2, None),
        ("issuer_keys_changed", 3, None),
        ("issuer_keys_changed", 3, None),
        ("users_rejected", None, "line 1"),
    ]


def test_every_event_has_a_name_of_its_own() -> None:
    assert len(set(EVENTS)) == len(EVENTS)
