"""The file of the audit log: made for its owner alone, and opened anew when somebody has moved it away.

So it can be rotated by renaming it, without a word to the gateway. Several processes append to it: the kernel writes
what is written at once in one piece.
"""

import os
from pathlib import Path

from gateway.telemetry.lines import write_some

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
"""Without waiting, since the name may be that of a pipe that nobody reads."""
_OWNER_ONLY = 0o600


class AuditFile:
    """Is a Sink."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self._path = path
        self._is_torn = False
        """The last line is incomplete: the disk was full."""
        self._descriptor = os.open(path, _FLAGS, _OWNER_ONLY)

    def put(self, block: bytes) -> None:
        self._follow_path()
        if self._is_torn:
            block = b"\n" + block
        rest = block
        try:
            while rest:
                rest = rest[write_some(self._descriptor, rest) :]
        finally:
            self._is_torn = bool(rest) and (self._is_torn or len(rest) < len(block))

    def close(self) -> None:
        os.close(self._descriptor)

    def _follow_path(self) -> None:
        """Open the file anew if there is another one of this name, or none."""
        try:
            is_same = os.path.samestat(os.stat(self._path), os.fstat(self._descriptor))
        except FileNotFoundError:
            is_same = False
        if not is_same:
            new = os.open(self._path, _FLAGS, _OWNER_ONLY)
            os.close(self._descriptor)
            self._descriptor = new
            self._is_torn = False
