"""Watches the files of a configuration, and puts in force what has changed: all of it, or nothing.

About once a second the configuration file and every file it names are compared, by what they hold, with what was read
the last time; one whose status is the same is not read for that. A change is taken when it has stood still from one
look to the next: editors and `kubectl` write in several steps. `reload_soon` (SIGHUP) asks for it at once. Whatever is
wrong with the new configuration is told, and the one before stays in force; it is tried again at the next change.

The key file of sessions and the users file have watches of their own; the files of `state` are read with each
connection to the store.
"""

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from gateway.config.compile import CompileMistakes
from gateway.config.fixed import needs_restart
from gateway.config.load import Loaded, load_text, unreadable
from gateway.config.mistakes import ConfigMistakes
from gateway.config.schema import Config
from gateway.config.snapshot import Snapshot
from gateway.mechanisms.base import BadSetting
from gateway.mechanisms.files import Digests, Files, Looks, digests_now
from gateway.telemetry.audit import NOT_ASKED, AuditLog
from gateway.telemetry.log import Log
from gateway.telemetry.metrics import Metrics

LOOK_EVERY = 1.0
"""Seconds between two looks at the files."""

_NEVER_READ = b"never read"


class Reloader:
    """One per process."""

    def __init__(
        self,
        file: Path,
        environment: Mapping[str, str],
        present: Callable[[], Snapshot],
        put_in_force: Callable[[Loaded, Files], Awaitable[None]],
        look_at_others: Callable[[], Awaitable[None]],
        log: Log,
        metrics: Metrics,
        audit: AuditLog,
    ) -> None:
        """`environment` is for interpolation. `present` gives the Snapshot in force. `put_in_force` replaces it, or
        raises CompileMistakes, BadSetting or OSError. `look_at_others` looks at what is watched elsewhere, when
        somebody asks for a reload."""
        self._file = file
        self._environment = environment
        self._present = present
        self._put_in_force = put_in_force
        self._look_at_others = look_at_others
        self._log = log
        self._metrics = metrics
        self._audit = audit
        self._looks = Looks()
        self._asked = asyncio.Event()
        self._read: Digests = {}
        """What the files held when they were last read, whatever came of it."""
        self._seen: Digests = {}
        """What they held at the last look."""
        self._good: Digests = {}
        """What they held when it was good."""
        self._digest: bytes | None = None
        """Of the configuration file, as it was read for the attempt under way."""
        self._is_asked = False
        self.mistakes: tuple[str, ...] = ()
        """Why the latest attempt failed, if it did."""

    def reload_soon(self) -> None:
        """Have the files read again, whether they have changed or not."""
        self._asked.set()

    async def keep_watching(self) -> None:
        """Look again and again, until cancelled."""
        # What the file held when the process read it is not known here: at the first look it is read, and compared.
        self._read = self._good = {**self._watched(), self._file: _NEVER_READ}
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY):
                    await self._asked.wait()
            if self._asked.is_set():
                self._asked.clear()
                await self._look_at_others()
                await self._reload(is_asked=True)
            elif self._present().config.reload == "watch" and await self._has_changed():
                await self._reload(is_asked=False)

    async def _has_changed(self) -> bool:
        """Say whether the files hold something new, and have held it since the last look."""
        before, self._seen = self._seen, await asyncio.to_thread(self._looks.digests, self._read)
        return self._seen != self._read and self._seen == before

    async def _reload(self, *, is_asked: bool) -> None:
        files = Files()
        self._seen = await asyncio.to_thread(digests_now, self._read)
        # What the attempt asks for is watched too: when a file appears that it lacked, it is time for another one.
        is_good = await self._attempt(files, is_asked=is_asked)
        attempted = files.digests()
        if is_good:
            self._read = self._good = {**self._watched(), self._file: attempted[self._file]}
        else:
            self._read = {**self._seen, **attempted}

    async def _attempt(self, files: Files, *, is_asked: bool) -> bool:
        """Return whether what the files hold is in force now."""
        self._digest, self._is_asked = None, is_asked
        try:
            return await self._load_and_install(files, is_asked=is_asked)
        except ConfigMistakes as mistakes:
            self._rejected([str(each) for each in mistakes.mistakes])
        except (BadSetting, OSError) as error:
            self._rejected([str(error)])
        except Exception as error:  # noqa: BLE001 - a bug must not end the watch, and the old configuration stays
            self._log.error("bug", place="reload", traceback="".join(traceback.format_exception(error)))
            self.mistakes = ("a bug; see the log",)
            self._metrics.reload_failed("failed")
        return False

    async def _load_and_install(self, files: Files, *, is_asked: bool) -> bool:
        loaded = await asyncio.to_thread(self._load, files)
        if await asyncio.to_thread(self._is_in_force, loaded.config):
            self.mistakes = ()
            self._metrics.reload_needless()
            if is_asked:
                self._log.info("config_unchanged", file=str(self._file))
            return True
        if different := needs_restart(self._present().config, loaded.config):
            settings = [str(loaded.document.mistake(path, reason)) for path, reason in different]
            self._log.error("config_refused", file=str(self._file), settings=settings)
            self._write_audit("config_rejected", reason="needs_restart", mistakes=settings)
            self._metrics.reload_failed("refused")
            self.mistakes = tuple(settings)
            return False
        try:
            await self._put_in_force(loaded, files)
        except CompileMistakes as error:
            raise loaded.mistakes(error) from error
        self._tell()
        return True

    def _tell(self) -> None:
        self.mistakes = ()
        snapshot = self._present()
        good = self._good
        changed = [path for path, digest in self._watched().items() if good.get(path) not in (digest, _NEVER_READ)]
        routes = len(snapshot.routes.routes)
        self._log.info("config_reloaded", file=str(self._file), changed=sorted(map(str, changed)), routes=routes)
        self._write_audit("config_reloaded", changed=sorted(map(str, changed)))

    def _rejected(self, mistakes: list[str]) -> None:
        self._log.error("config_rejected", file=str(self._file), mistakes=mistakes)
        self._write_audit("config_rejected", reason="mistakes", mistakes=mistakes)
        self._metrics.reload_failed("failed")
        self.mistakes = tuple(mistakes)

    def _write_audit(self, event: str, **fields: object) -> None:
        digest = None if self._digest is None else self._digest.hex()
        actor = "signal" if self._is_asked else "watch"
        self._audit.write(event, **{**NOT_ASKED, "actor": actor}, file=str(self._file), digest=digest, **fields)

    def _load(self, files: Files) -> Loaded:
        try:
            source = files.read(self._file)
        except OSError as error:
            raise unreadable(self._file, error) from error
        self._digest = sha256(source).digest()
        return load_text(source, self._environment, file=self._file)

    def _is_in_force(self, config: Config) -> bool:
        """Say whether a configuration, and all that its files hold, is what the present Snapshot was made of."""
        others = {path: digest for path, digest in self._watched().items() if path != self._file}
        return config == self._present().config and digests_now(others) == others

    def _watched(self) -> dict[Path, bytes | None]:
        """Return the files of the present Snapshot, but those that have a watch of their own."""
        snapshot = self._present()
        sessions = snapshot.config.sessions
        users = None if sessions is None or sessions.login is None else sessions.login.users
        watched = dict(snapshot.files)
        if users is not None:
            watched.pop(self._file.parent / users.file, None)
        return watched
