"""The directory and the file of SQLite. Nothing is made or written."""

import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import quote

from gateway.commands.doctoring.finding import Finding, advice, fine, problem
from gateway.state.mounts import network_file_system

_LITTLE: Final = 1024**3
_TOO_LITTLE: Final = 64 * 1024**2
"""Bytes. A session takes about 1 KiB; the log beside the file takes what is written between two checkpoints."""


def sqlite_store(file: Path) -> list[Finding]:
    """Return what there is to say of the file and the disk that it is on."""
    directory = file.parent
    while not directory.exists():
        directory = directory.parent
    return [*_directory(file, directory), *_disk(file, directory), *_content(file)]


def _directory(file: Path, directory: Path) -> Iterator[Finding]:
    if not os.access(directory, os.W_OK | os.X_OK):
        says = f"{directory} cannot be written by this user, so {file.name} cannot be used"
        yield problem(
            "sqlite_directory", says, f"chown the directory to the user that runs the gateway ({os.geteuid()})"
        )
        return
    others = os.stat(directory).st_mode & (stat.S_IRWXO | stat.S_IRWXG)
    if file.exists() and os.stat(file).st_mode & (stat.S_IRWXO | stat.S_IRWXG) and others:
        says = f"{file} can be read by others: they see who is logged in"
        yield problem("sqlite_directory", says, f"chmod go= {file}*")
    elif others & stat.S_IWOTH and not os.stat(directory).st_mode & stat.S_ISVTX:
        says = f"{directory} can be written by everybody on this host: they can put another store there"
        yield problem("sqlite_directory", says, f"chmod go= {directory}")
    else:
        yield fine("sqlite_directory", f"{directory} can be written by this user")


def _disk(file: Path, directory: Path) -> Iterator[Finding]:
    if kind := network_file_system(directory):
        says = f"{file} is on a file system of type {kind}, where SQLite loses its locks"
        yield problem("sqlite_disk", says, "use a disk of this host, or Redis")
    free = shutil.disk_usage(directory).free
    says = f"{free // 1024**2} MiB are free for {file}"
    if free < _LITTLE:
        make = problem if free < _TOO_LITTLE else advice
        yield make("sqlite_disk", says, "make room: when the disk is full, nobody can log in or out")
    else:
        yield fine("sqlite_disk", says)


def _content(file: Path) -> Iterator[Finding]:
    if not file.exists():
        yield fine("sqlite_file", f"{file} is not there yet, and will be made")
        return
    to_do = "bring back a copy, or move the file away: users log in again"
    try:
        state = _check(file)
    except (sqlite3.Error, OSError) as error:
        yield problem("sqlite_file", f"{file} cannot be read: {error}", to_do)
        return
    if state != "ok":
        yield problem("sqlite_file", f"{file} is damaged: {state}", to_do)
    else:
        yield fine("sqlite_file", f"{file} is whole")


def _check(file: Path) -> str:
    """Return what SQLite says of a file. Raises sqlite3.Error.

    While nobody has it open, it is read without the two files beside it: made by this user, they could lock others out.
    """
    is_in_use = file.with_name(f"{file.name}-wal").exists()
    way = "mode=ro" if is_in_use else "immutable=1"
    with closing(sqlite3.connect(f"file:{quote(str(file.absolute()))}?{way}", uri=True)) as connection:
        [(state,)] = connection.execute("PRAGMA quick_check(1)")
    return str(state)
