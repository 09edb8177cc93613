"""The gateway's key file, watched while the gateway runs."""

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

from gateway.mechanisms.files import beginning
from gateway.model.clock import Clock, unix_now
from gateway.model.notice import Notice
from gateway.tokens.own_keys import BadKeyring, Keyring, OwnKeys, read_keyring

INTERVAL = 10.0
"""Seconds between two looks."""
MAX_BYTES = 256 * 1024

Identity = tuple[int, ...]


def read_key_file(path: Path, clock: Clock = unix_now) -> Keyring:
    """Return the keys in a file. Raises BadKeyring, also for a file that cannot be read."""
    return _read(path, clock)[0]


class KeyFile:
    """Puts new keys in force when the file changes; while it is broken, the old ones stay. Run `keep_fresh`.

    The file is looked at through its path, so it may be replaced, or be behind a symbolic link that is. `notice` hears
    of new keys, of a file that cannot be used, and of one that others can read.
    """

    def __init__(
        self,
        path: Path,
        own_keys: OwnKeys,
        notice: Notice,
        *,
        clock: Clock = unix_now,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._path = path
        self._own_keys = own_keys
        self._notice = notice
        self._clock = clock
        self._sleep = sleep
        self._known: Identity | None = None
        self._failure: str | None = None

    async def keep_fresh(self) -> None:
        """Look at the file again and again, until cancelled."""
        while True:
            await self.look()
            await self._sleep(INTERVAL)

    async def look(self) -> None:
        """Read the file if it has changed, or could not be used the last time."""
        try:
            read = await asyncio.to_thread(self._read_if_changed)
        except BadKeyring as error:
            if str(error) != self._failure:
                self._failure = str(error)
                self._notice("keys_reload_failed", {"file": str(self._path), "reason": str(error)})
            return
        self._failure = None
        if read is not None:
            self._install(*read)

    def _read_if_changed(self) -> tuple[Keyring, os.stat_result] | None:
        try:
            if self._known == _identity(self._path.stat()):
                return None
        except OSError as error:
            raise _unreadable(error) from error
        return _read(self._path, self._clock)

    def _install(self, keyring: Keyring, status: os.stat_result) -> None:
        self._known = _identity(status)
        if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            self._notice(
                "keys_exposed", {"file": str(self._path), "mode": f"{stat.S_IMODE(status.st_mode):04o}", "want": "0600"}
            )
        if keyring != self._own_keys.current:
            self._own_keys.current = keyring
            kids = [key.signer.kid for key in keyring.access]
            self._notice("keys_reloaded", {"kids": kids, "refresh_kids": [key.kid for key in keyring.refresh]})


def _read(path: Path, clock: Clock) -> tuple[Keyring, os.stat_result]:
    """Return the keys, and what the file was before it was read: a later change is then seen at the next look."""
    try:
        content, status = beginning(path, MAX_BYTES + 1)
    except OSError as error:
        raise _unreadable(error) from error
    if len(content) > MAX_BYTES:
        raise BadKeyring(f"is larger than {MAX_BYTES // 1024} KiB")
    return read_keyring(content, clock), status


def _unreadable(error: OSError) -> BadKeyring:
    advice = "; make it with gateway keys create" if isinstance(error, FileNotFoundError) else ""
    return BadKeyring(f"cannot be read: {error.strerror}{advice}")


def _identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode
