"""Where a directory comes from: a file system of this host, or one of the network.

SQLite needs locks and shared memory that all its users see, and a flush that reaches the disk. Network file systems
promise the one or the other, but not always both.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
"""proc_pid_mountinfo(5). Only Linux has it; elsewhere nothing is known, and nothing refused."""

NETWORK = frozenset(
    {
        *("9p", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "fhgfs", "gfs2", "glusterfs", "gpfs", "lustre"),
        *("ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "pvfs2", "smb2", "smb3", "smbfs", "vboxsf", "wekafs"),
    }
)
"""Types of file systems that several hosts share, or that pass through to one that may be."""
LOCAL_FUSE = frozenset({"fuse.fuse-overlayfs", "fuseblk"})
"""Of what runs in user space, only container layers and local disks (NTFS, exFAT); the rest is mostly remote."""


def network_file_system(path: Path, mounts: Path = MOUNTS) -> str | None:
    """Return the type of the network file system that holds `path`; None for a local one, or where nobody knows."""
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
    except FileNotFoundError:
        return None
    kind = _kind_at(os.path.realpath(path), lines)
    is_remote = kind in NETWORK or (kind.startswith("fuse") and kind not in LOCAL_FUSE)
    return kind if is_remote else None


def _kind_at(path: str, lines: Iterable[str]) -> str:
    """Return the type of the deepest mount above `path`; of several at one place, the last one covers the others."""
    deepest, kind = "", ""
    for line in lines:
        mount, _, source = line.partition(" - ")
        fields = mount.split(" ")
        if len(fields) < 5 or not source:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
        is_above = path == point or path.startswith(point.rstrip("/") + "/")
        if is_above and len(point) >= len(deepest):
            deepest, kind = point, source.split(" ")[0]
    return kind
