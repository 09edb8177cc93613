"""The audit log: one line of JSON for each thing that an auditor asks about.

    audit.write("login_failed", reason="wrong_password")

What happened because of a request says so by itself: who asked, from where, and the request's id. Whatever is named
here is no secret; nothing is logged wholesale. A thread writes, each line at once. What it cannot write is counted,
and told once.
"""

import asyncio
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final

from gateway.telemetry.audit_asker import ASKER, Asker
from gateway.telemetry.audit_file import AuditFile
from gateway.telemetry.lines import LineWriter
from gateway.telemetry.log import STANDARD_ERROR, Log, rfc3339
from gateway.telemetry.metrics import Reading

EVENTS: Final = (
    *("login_succeeded", "login_failed", "exchange_failed", "request_refused"),
    *("session_stolen", "session_ended", "token_revoked", "tokens_cut_off"),
    *("admin_change", "admin_refused"),
    *("config_reloaded", "config_rejected", "users_changed", "users_rejected"),
    *("keys_changed", "keys_rejected", "keys_exposed", "issuer_keys_changed"),
    *("gateway_started", "gateway_stopped", "audit_log_moved"),
)
"""Every event there is."""
_NOTICED: Final = {
    "keys_reloaded": "keys_changed",
    "keys_reload_failed": "keys_rejected",
    "keys_exposed": "keys_exposed",
    "keys_fetched": "issuer_keys_changed",
    "users_file_read": "users_changed",
    "users_file_failed": "users_rejected",
}
"""What parts notice that is also for the auditor, and how it is called here."""
_LONGEST: Final = 300
"""Characters of a value as JSON, so that a line stays below what a pipe takes in one piece."""
_MOST: Final = 8
"""Members of a list, for the same reason."""
_LOOK_EVERY: Final = 1.0
_NOBODY: Final = Asker()
GATEWAY: Final = "gateway"
"""The actor of what nobody asked for."""
NOT_ASKED: Final = {"request_id": None, "address": None, "actor": GATEWAY}
"""The fields of what the gateway does by itself, even while somebody asks."""


@dataclass(frozen=True, slots=True)
class Outlet:
    """Where the lines go: a file, `stderr`, or nowhere."""

    place: Path | str | None = None
    writer: LineWriter | None = None

    @classmethod
    def opened(cls, place: Path | str | None, directory: Path) -> "Outlet":
        """Open a place. Relative names start in the directory. Raises OSError."""
        if place is None:
            return cls()
        sink = STANDARD_ERROR if place == "stderr" else AuditFile(directory / place)
        return cls(place, LineWriter(sink, is_shared=True))


class AuditLog:
    """One per process."""

    def __init__(self, outlet: Outlet | None = None, *, worker: int | None = None) -> None:
        """`worker` is the number of this process among several, and then is in every line."""
        self._outlet = outlet or Outlet()
        self._bound = {} if worker is None else {"worker": worker}
        self._turn = Lock()
        self._lost_before = 0
        self._issuer_keys: dict[str, int] = {}
        """How many keys each issuer had."""

    @property
    def is_on(self) -> bool:
        return self._outlet.writer is not None

    def prepared(self, place: Path | str | None, directory: Path) -> Outlet:
        """Return the outlet for `adapt`: the present one where nothing changes. Raises OSError."""
        return self._outlet if place == self._outlet.place else Outlet.opened(place, directory)

    def discard(self, outlet: Outlet) -> None:
        """Let go of an outlet that was prepared for nothing."""
        if outlet is not self._outlet and outlet.writer is not None:
            outlet.writer.close(patience=0)

    def adapt(self, outlet: Outlet) -> None:
        """Write to another outlet from now on. What waits for the former one is still written there, and that it is
        the end."""
        if outlet is not self._outlet:
            self.write("audit_log_moved", **NOT_ASKED, to=None if outlet.place is None else str(outlet.place))
        with self._turn:
            former, self._outlet = self._outlet, outlet
        if former is not outlet and former.writer is not None:
            self._lost_before += former.writer.dropped
            former.writer.close(patience=0)

    def close(self, patience: float = 2.0) -> None:
        """Wait so many seconds at most until everything is written."""
        if self._outlet.writer is not None:
            self._outlet.writer.close(patience)

    def write(self, event: str, /, **fields: Any) -> None:
        """Log what has happened. A field of the asker that is among `fields` is taken from there."""
        if self._outlet.writer is None:
            return
        asker = ASKER.get() or _NOBODY
        head = {"time": rfc3339(time.time()), "log": "audit", "event": event, **self._bound}
        about = {"request_id": asker.request_id, "address": asker.address, "actor": asker.actor}
        line = json.dumps(head | about | {name: _bounded(value) for name, value in fields.items()} | head, default=str)
        with self._turn:
            if (writer := self._outlet.writer) is not None:
                writer.write(line + "\n")
                writer.flush()

    def notice(self, event: str, fields: Mapping[str, Any]) -> None:
        """Log what a part has noticed, if it is for the auditor."""
        if self.is_on and event in _NOTICED and self._is_news(event, fields):
            told = {"reason" if name == "error" else name: value for name, value in fields.items()}
            self.write(_NOTICED[event], **NOT_ASKED, **told)

    def _is_news(self, event: str, fields: Mapping[str, Any]) -> bool:
        """Say no to keys of an issuer that were fetched and are the same as before."""
        if event != "keys_fetched":
            return True
        before = self._issuer_keys.get(fields["authenticator"])
        self._issuer_keys[fields["authenticator"]] = fields["keys"]
        return bool(fields["withdrawn"]) or fields["keys"] != before

    @property
    def lost(self) -> int:
        """How many lines could not be written."""
        writer = self._outlet.writer
        return self._lost_before + (0 if writer is None else writer.dropped)

    def dropped(self) -> Iterable[Reading]:
        """Read `gateway_audit_log_dropped_total`."""
        return [((), self.lost)]

    async def keep_telling(self, log: Log) -> None:
        """Tell operators when lines are lost, once for a row of them, and when they are written again; for ever."""
        known, is_failing = 0, False
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            lost, known = self.lost - known, self.lost
            if lost and not is_failing:
                log.error("audit_log_failed", place=str(self._outlet.place), lost=lost)
            elif is_failing and not lost and self._is_idle:
                log.info("audit_log_restored", place=str(self._outlet.place), lost=known)
            is_failing = bool(lost) or (is_failing and not self._is_idle)

    @property
    def _is_idle(self) -> bool:
        return self._outlet.writer is None or self._outlet.writer.is_idle


def _bounded(value: Any) -> Any:
    """Return a value whose JSON is short. Whoever sends it shall not decide how long a line is."""
    if isinstance(value, str):
        while len(json.dumps(value)) > _LONGEST:
            value = value[: len(value) * 3 // 4]
    elif isinstance(value, list | tuple):
        value = [_bounded(each) for each in value[:_MOST]]
    return value
