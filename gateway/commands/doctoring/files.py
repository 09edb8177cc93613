"""The files that a configuration names: who else can read the secrets among them, and who can write any of them."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from gateway.commands.doctoring.finding import Finding, Patient, advice, fine, problem
from gateway.config.locate import fields_of
from gateway.config.mistakes import SettingPath, shown_path

CERTIFICATES = frozenset({"certificate", "ca", "client_ca"})
"""Settings whose files hold certificates."""
_PUBLIC = CERTIFICATES | {"pem_file", "jwks_file"}
"""Settings whose files anybody may read: of all others it is not sure that they hold no secret."""


def secret_files(patient: Patient) -> list[Finding]:
    """Group readers are usual where a secret is mounted into a container for a user who is not root."""
    found = []
    for path, file in named_files(patient):
        if path[-1] in _PUBLIC or (mode := _mode(patient.directory / file)) is None:
            continue
        says = f"{shown_path(path)}: {file} can be read by"
        if mode & stat.S_IROTH:
            found.append(
                problem(
                    "secret_files",
                    f"{says} everybody on this host",
                    f"chmod o= {file}; a mounted Secret: defaultMode 0440, and fsGroup",
                )
            )
        elif mode & stat.S_IRGRP:
            found.append(
                advice("secret_files", f"{says} its group", "see that nobody else is in it, or chmod g= the file")
            )
        else:
            found.append(fine("secret_files", f"{says} its owner only"))
    return found


def writable_files(patient: Patient) -> list[Finding]:
    """Whoever can write the configuration, or a key that it names, decides who passes."""
    found = []
    named: list[tuple[str, Path]] = [("the configuration", Path(patient.file.absolute()))]
    named += [(shown_path(path), file) for path, file in named_files(patient)]
    for name, file in named:
        mode = _mode(patient.directory / file)
        if mode is not None and mode & (stat.S_IWOTH | stat.S_IWGRP):
            others = "everybody on this host" if mode & stat.S_IWOTH else "its group"
            says = f"{name}: {file} can be written by {others}"
            make = problem if mode & stat.S_IWOTH else advice
            found.append(make("writable_files", says, f"chmod go-w {file}"))
    return found or [fine("writable_files", "the files of the configuration can only be written by their owners")]


def named_files(patient: Patient) -> Iterator[tuple[SettingPath, Path]]:
    """Yield every file that the configuration names, with the path of its setting; one that it names twice, once."""
    seen = set()
    for path, file in _named((), patient.config):
        if (patient.directory / file) not in seen:
            seen.add(patient.directory / file)
            yield path, file


def _named(path: SettingPath, value: object) -> Iterator[tuple[SettingPath, Path]]:
    match value:
        case Path():
            yield path, value
        case BaseModel():
            for name in fields_of(type(value)):
                yield from _named((*path, name), getattr(value, name, None))
        case dict():
            for name, member in value.items():
                yield from _named((*path, name), member)
        case tuple():
            for index, member in enumerate(value):
                yield from _named((*path, index), member)


def _mode(file: Path) -> int | None:
    """Return the mode of a plain file; None for one that is not there, which the check of the configuration tells."""
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_mode if stat.S_ISREG(status.st_mode) else None
