"""The files that a configuration names: each is read once, so that all its parts are built from the same contents."""

import errno
import os
import select
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import Final

from gateway.model.clock import Clock, unix_now

Digests = Mapping[Path, bytes | None]
"""What files hold: a digest of each; None for one that cannot be read."""

_NOT_WATCHED = b""

MAX_FILE = 64 * 1024 * 1024
"""The largest file that a configuration may name: room for any bundle of authorities."""
_Status = tuple[int, int, int, int, int]
"""Device, inode, size, time of the last change of the content and of anything, in nanoseconds."""
_SETTLED: Final = 3.0
"""Seconds after which no change can have the time of the one before: some file systems count by two."""

PATIENCE = 10.0
"""Seconds that a pipe may take. Whoever reads files must come back: nothing could be reloaded any more."""
_PIECE = 64 * 1024


class Files:
    """What was read for one configuration."""

    def __init__(self) -> None:
        self._contents: dict[Path, bytes | OSError] = {}
        self._digests: dict[Path, bytes | None] = {}

    def read(self, path: Path) -> bytes:
        """Return what the file held when it was first asked for. Raises OSError, each time if it did the first time."""
        if path not in self._contents:
            try:
                self._contents[path] = bounded_content(path, MAX_FILE)
            except OSError as error:
                self._contents[path] = error
            self._digests[path] = _digest(path, self._contents[path])
        content = self._contents[path]
        if isinstance(content, OSError):
            raise content
        return content

    def has_changed(self, path: Path) -> bool:
        """Say whether a file that was read holds something else now."""
        return _digest_now(path) != self._digests[path]

    def digests_of(self, paths: Iterable[Path]) -> dict[Path, bytes | None]:
        """Return the digests of some files, which count as asked for."""
        for path in (paths := tuple(paths)):
            with suppress(OSError):
                self.read(path)
        return {path: self._digests[path] for path in paths}

    def digests(self) -> dict[Path, bytes | None]:
        """Return the digests of all that was asked for."""
        return dict(self._digests)

    def forget(self) -> None:
        """Keep no content in memory, now that all is built. The digests stay."""
        self._contents.clear()


def bounded_content(path: Path, most: int) -> bytes:
    """Return what a file holds. Raises OSError, also for one of more than `most` bytes: `/dev/zero` has no end."""
    content, _ = beginning(path, most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"larger than {most} bytes")
    return content


def beginning(path: Path, most: int) -> tuple[bytes, os.stat_result]:
    """Return the first bytes of a file, `most` at most, and what it was before they were read. Raises OSError, also
    for a pipe whose other end is silent.
    """
    with open(path, "rb", opener=_open_at_once) as stream:
        status = os.fstat(stream.fileno())
        is_plain_file = stat.S_ISREG(status.st_mode)
        return stream.read(most) if is_plain_file else _from_pipe(stream.fileno(), most), status


def _open_at_once(path: str, flags: int) -> int:
    """Open without waiting for the other end of a pipe."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def _from_pipe(descriptor: int, most: int) -> bytes:
    content = bytearray()
    end = monotonic() + PATIENCE
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    while len(content) < most:
        left = end - monotonic()
        if left <= 0 or not poller.poll(left * 1000):
            raise OSError(errno.ETIMEDOUT, f"no file, and no end of it within {PATIENCE:g} s")
        piece = os.read(descriptor, min(_PIECE, most - len(content)))
        if not piece:
            break
        content += piece
    return bytes(content)


def digests_now(paths: Iterable[Path]) -> dict[Path, bytes | None]:
    """Return the digests of what the files hold now."""
    return {path: _digest_now(path) for path in paths}


class Looks:
    """Looks at the same files again and again. One is read when its status differs from that at the last reading, or
    was so new then that a change at the same instant may not have changed it.

    The status holds the time of its last change (`st_ctime_ns`), which nobody can set. `clock` gives Unix time.
    """

    def __init__(self, clock: Clock = unix_now) -> None:
        self._clock = clock
        self._known: dict[Path, tuple[_Status, bytes]] = {}

    def digests(self, paths: Iterable[Path]) -> dict[Path, bytes | None]:
        """Return the digests of what the files hold now."""
        return {path: self._digest(path) for path in paths}

    def _digest(self, path: Path) -> bytes | None:
        try:
            found = path.stat()
            if (known := self._known.get(path)) is not None and known[0] == _status(found):
                return known[1]
            if not stat.S_ISREG(found.st_mode):
                return _NOT_WATCHED
            content, found = beginning(path, MAX_FILE + 1)  # what was read may be another file already
        except OSError:
            return None
        if len(content) > MAX_FILE:
            return None
        digest = sha256(content).digest()
        if self._clock() - found.st_ctime > _SETTLED:
            self._known[path] = _status(found), digest
        return digest


def _status(found: os.stat_result) -> _Status:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _digest(path: Path, content: bytes | OSError) -> bytes | None:
    """Return the digest of what was read. What is no plain file, such as a pipe, holds nothing that could change."""
    if isinstance(content, OSError):
        return None
    return sha256(content).digest() if is_plain(path) else _NOT_WATCHED


def _digest_now(path: Path) -> bytes | None:
    try:
        return sha256(bounded_content(path, MAX_FILE)).digest() if is_plain(path) else _NOT_WATCHED
    except OSError:
        return None


def is_plain(path: Path) -> bool:
    """Say whether it is a plain file, or none at all: then whoever reads it learns why."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return True
