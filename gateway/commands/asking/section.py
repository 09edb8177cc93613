"""One section of a configuration file, for commands that ask a gateway which runs.

Nothing else in the file is looked at: mistakes in it change nothing for that gateway, and a probe has no time for the
whole schema.
"""

import os
from pathlib import Path
from typing import Any, Final

from gateway.config.document import read_document
from gateway.mechanisms.files import MAX_FILE, bounded_content

REACHED: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - asked of oneself, not bound
"""Addresses that stand for all of this host, and where to reach one of them."""


class UnreadableFile(Exception):
    """A file that cannot be read. The message says which one and why."""


def read_section(file: Path, name: str) -> dict[str, Any] | None:
    """Return a section as it stands in the file; None without one. Raises UnreadableFile or ConfigMistakes."""
    document = read_document(content(file), os.environ, str(file))
    section = document.data.get(name)
    return section if isinstance(section, dict) else None


def content(file: Path) -> bytes:
    """Return what a file holds. Raises UnreadableFile."""
    try:
        return bounded_content(file, MAX_FILE)
    except OSError as error:
        raise UnreadableFile(f"{file}: cannot be read: {error.strerror}") from error
