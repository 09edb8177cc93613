"""Login with a users file.

An unknown user costs one verification, as a known one does: that of a decoy. Where the hashes of a file differ in
cost, each unknown name gets the cost of some user, always of the same one, so that times tell nothing there either.
"""

import asyncio
import hashlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import Field

from gateway.mechanisms.base import BadSetting, Resources
from gateway.mechanisms.files import beginning
from gateway.mechanisms.logins.base import MAX_PASSWORD, Attempt, ProvenUser, as_bytes, as_compared
from gateway.mechanisms.logins.hashes import NEW_COST, CannotVerify, PasswordHash, decoy
from gateway.mechanisms.logins.threads import BoundedThreads
from gateway.mechanisms.logins.users_document import MAX_FILE, User, read_users
from gateway.model.errors import LoginUnavailable, WrongPassword
from gateway.model.notice import Notice
from gateway.model.settings import FilePath, Settings

LOOK_EVERY = 1.0
"""Seconds between two looks at whether the file has changed."""


class UsersFileSettings(Settings):
    """Login with a users file, which `gateway users` writes."""

    file: FilePath
    """The file: one user a line, `name:hash`, as htpasswd writes it with bcrypt. It is read again when it changes."""
    parallel: Annotated[int, Field(ge=1, le=64)] = 2
    """Passwords that are checked at once, each on a core and in the memory that its hash asks for."""
    waiting: Annotated[int, Field(ge=0, le=1000)] = 16
    """Passwords that may wait to be checked. One more answers 503 at once."""

    def build(self, resources: Resources) -> "UsersFileLogin":
        """Raises BadSetting with all mistakes of the file."""
        book = UsersBook(resources.directory / self.file, self.file, resources.notice)
        return UsersFileLogin(book, BoundedThreads(self.parallel, self.waiting, "passwords"))


class UsersFileLogin:
    """Is a Login."""

    def __init__(self, book: "UsersBook", threads: BoundedThreads) -> None:
        self._book = book
        self._threads = threads

    async def prove(self, attempt: Attempt) -> ProvenUser:
        password = as_bytes(attempt.password)
        if len(password) > MAX_PASSWORD:
            raise WrongPassword("longer than any password")
        await self._book.refresh()
        user, hashed = self._book.find(attempt.username)
        try:
            is_right = await self._threads.run(hashed.verify, password)
        except CannotVerify as error:
            raise LoginUnavailable(str(error)) from error
        if user is None or not is_right:
            raise WrongPassword("unknown user or wrong password")
        return user.user

    def close(self) -> None:
        self._threads.close()


class UsersBook:
    """The users of a file, read again when it changes. A file with mistakes changes nothing; `notice` hears of it."""

    def __init__(
        self,
        path: Path,
        shown: Path,
        notice: Notice,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._shown = shown
        self._notice = notice
        self._monotonic = monotonic
        self._next_look = monotonic() + LOOK_EVERY
        self._seen = self._signature()
        self._loaded = self._read()

    def find(self, name: str) -> tuple[User | None, PasswordHash]:
        """Return the user with this name if there is one, and the hash to verify in either case."""
        loaded = self._loaded
        user = loaded.users.get(as_compared(name))
        place = hashlib.blake2b(as_bytes(name), digest_size=8, key=loaded.key).digest()
        stand_in = loaded.decoys[int.from_bytes(place) % len(loaded.decoys)]
        return user, stand_in if user is None else user.hash

    async def refresh(self) -> None:
        """Read the file again if it changed, now and then; others are not kept waiting meanwhile."""
        now = self._monotonic()
        if now < self._next_look:
            return
        self._next_look = now + LOOK_EVERY
        if (signature := self._signature()) == self._seen:
            return
        try:
            self._loaded = await asyncio.to_thread(self._read)
        except BadSetting as error:
            self._notice("users_file_failed", {"file": str(self._shown), "error": str(error)})
        else:
            self._notice("users_file_read", {"file": str(self._shown), "users": len(self._loaded.users)})
        self._seen = signature  # only now: whoever was waiting here may have gone away meanwhile

    def _read(self) -> "_Loaded":
        try:
            content, _ = beginning(self._path, MAX_FILE + 1)
        except OSError as error:
            raise BadSetting(f"cannot read {self._shown}: {error.strerror}", ("file",)) from error
        if len(content) > MAX_FILE:
            raise BadSetting(f"{self._shown} is larger than {MAX_FILE} bytes", ("file",))
        users = read_users(content)
        if users.mistakes:
            raise BadSetting("; ".join(f"{self._shown}, {mistake}" for mistake in users.mistakes), ("file",))
        return _loaded(users.by_name, content)

    def _signature(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


@dataclass(frozen=True, slots=True)
class _Loaded:
    """The users, the decoys (one for each user, with that user's cost), and the key that deals decoys out."""

    users: Mapping[str, User]
    decoys: tuple[PasswordHash, ...]
    key: bytes = field(repr=False)


def _loaded(users: Mapping[str, User], content: bytes) -> _Loaded:
    costs = [user.hash.cost for user in users.values()] or [NEW_COST]
    decoys = {cost: decoy(cost) for cost in dict.fromkeys(costs)}
    # From the file, so that all processes deal alike; it has the salts in it, so that nobody outside can.
    key = hashlib.blake2b(content, digest_size=32).digest()
    return _Loaded(users, tuple(decoys[cost] for cost in costs), key)
