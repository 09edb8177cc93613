"""Writing files that matter: whole or not at all, one writer at a time, readable by their owner only."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def create_file(file: Path, content: bytes) -> None:
    """Write a new file. Raises FileExistsError if there is one, OSError if it cannot be written."""
    with _temporary(file, content) as temporary:
        os.link(temporary, file)
    _sync(file.parent)


@contextmanager
def replacing(file: Path) -> Iterator["Replacement"]:
    """Give the content of a file, and a way to replace it, while no other such writer is let in. Raises OSError."""
    target = Path(os.path.realpath(file))
    directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)  # of the directory: the file itself is another one afterwards
        yield Replacement(target)
    finally:
        os.close(directory)


class Replacement:
    """A file that may be replaced now."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.content = file.read_bytes()

    def write(self, content: bytes) -> None:
        """Replace the file. It keeps its owner, so that the gateway can still read what root has written."""
        with _temporary(self._file, content) as temporary:
            before = self._file.stat()
            if before.st_uid != os.geteuid():
                os.chown(temporary, before.st_uid, before.st_gid)
            temporary.replace(self._file)
        _sync(self._file.parent)


@contextmanager
def _temporary(file: Path, content: bytes) -> Iterator[Path]:
    """Give a file beside `file` with this content, safe on the disk. It is gone afterwards under this name."""
    descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
