"""When a change counts as one: it is there, and has stood still."""

import io
from collections.abc import Awaitable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from gateway.config.snapshot import Snapshot
from gateway.mechanisms.files import Files, digests_now
from gateway.reload import Reloader
from gateway.telemetry.audit import AuditLog
from gateway.telemetry.log import Log
from gateway.telemetry.log_settings import LogSettings
from gateway.telemetry.metrics import Metrics


class Watch(Reloader):
    """A watch over some files that reads nothing by itself."""

    def __init__(self, *files: Path) -> None:
        snapshot = cast(Snapshot, SimpleNamespace(files={}, config=SimpleNamespace(sessions=None)))
        log = Log(LogSettings(), io.StringIO())
        super().__init__(files[0], {}, lambda: snapshot, _nothing, _nobody, log, Metrics("0"), AuditLog())
        self._read = digests_now(files)

    async def looks(self) -> bool:
        return await self._has_changed()


def _nothing(config: Any, files: Files) -> Awaitable[None]:
    raise NotImplementedError


async def _nobody() -> None:
    raise NotImplementedError


async def test_a_change_is_taken_when_it_has_stood_still_for_one_look(tmp_path: Path) -> None:
    first, second = tmp_path / "tls.pem", tmp_path / "tls.key"
    first.write_bytes(b"1")
    second.write_bytes(b"1")
    watch = Watch(first, second)
    assert [await watch.looks(), await watch.looks()] == [False, False]
    first.write_bytes(b"2")
    assert not await watch.looks()
    second.write_bytes(b"2")
    assert not await watch.looks()
    assert await watch.looks()


async def test_a_change_that_is_taken_back_is_none(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_bytes(b"1")
    watch = Watch(file)
    file.write_bytes(b"2")
    assert not await watch.looks()
    file.write_bytes(b"1")
    assert [await watch.looks(), await watch.looks()] == [False, False]


async def test_a_file_that_disappears_or_appears_has_changed(tmp_path: Path) -> None:
    file, other = tmp_path / "gateway.yaml", tmp_path / "keys.json"
    file.write_bytes(b"1")
    watch = Watch(file, other)
    other.write_bytes(b"")
    assert [await watch.looks(), await watch.looks()] == [False, True]
    other.unlink()
    file.unlink()
    assert [await watch.looks(), await watch.looks()] == [False, True]
