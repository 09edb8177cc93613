"""The composition root: the only place that wires objects. Starts a gateway, stops it without losing a request."""

import asyncio
import os
import socket
import time
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gateway import __version__
from gateway.administration import Administration
from gateway.compiled import IS_COMPILED
from gateway.config.load import Loaded
from gateway.config.mistakes import SettingPath
from gateway.config.schema import Config
from gateway.config.snapshot import Snapshot
from gateway.editions import Edition, Editions, Runner
from gateway.mechanisms.base import BadSetting
from gateway.mechanisms.files import Files, digests_now
from gateway.model.clock import Clock, unix_now
from gateway.model.upstream import Address
from gateway.observe import observe
from gateway.ops.app import ops_pages
from gateway.ops.pages import PageServer, Place
from gateway.proxy.draining import Haste, drain
from gateway.proxy.listener import Listeners, listening_socket
from gateway.proxy.plane import DataPlane
from gateway.proxy.recorder import RequestRecorder
from gateway.proxy.rejudging import judge_again
from gateway.reload import Reloader
from gateway.state.shelf import Shelf
from gateway.supervise import Supervisor
from gateway.telemetry.access_log import STANDARD_OUTPUT, AccessLog
from gateway.telemetry.audit import NOT_ASKED, AuditLog, Outlet
from gateway.telemetry.audit_sessions import SessionAudit
from gateway.telemetry.health import Health
from gateway.telemetry.lines import LineWriter
from gateway.telemetry.log import Log
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.session_tally import SessionTally
from gateway.telemetry.trace_tally import SpanTally
from gateway.upkeep import Upkeep

_LEVELS = {
    "circuit_opened": "warning",
    "state_failed": "error",
    "keys_exposed": "warning",
    "keys_fetch_failed": "warning",
    "keys_reload_failed": "warning",
    "login_backend_failed": "warning",
    "rate_sharing_failed": "warning",
    "redis_old": "warning",
    "redis_policy_unknown": "warning",
    "redis_version_unknown": "warning",
    "revocations_gap": "warning",
    "revocations_not_shared": "warning",
    "state_reading_failed": "warning",
    "store_failed": "warning",
    "target_ejected": "warning",
    "target_unhealthy": "warning",
    "users_file_failed": "warning",
}
"""How urgent is what the parts notice; the rest is expected."""


_RELOAD = "reload"
_LOOK = 0.05
"""Seconds between two looks at what blocks readiness."""


class Gateway:
    """One running process. Use as an async context manager: inside, it serves; leaving drains it.

    Raises CompileMistakes for a configuration that cannot be built, OSError for an address that cannot be bound.
    """

    def __init__(
        self,
        config: Config,
        directory: Path,
        clock: Clock = unix_now,
        *,
        sockets: Mapping[Address, socket.socket] | None = None,
        worker: int | None = None,
        patience: float = 0,
        file: Path | None = None,
        environment: Mapping[str, str] = os.environ,
        shelf: Shelf | None = None,
        from_environment: Collection[SettingPath] = (),
    ) -> None:
        """`directory` is where relative file names of the configuration start.

        `file` is where the configuration comes from, and `environment` what was interpolated into it: with them it is
        reloaded when it changes.
        `sockets` are listening already and are served from instead of binding their addresses; they stay open. `worker`
        is the number of this process among several, whose parent serves the ops address. For `patience` seconds the
        start may wait for what blocks readiness, before connections are taken. On the `shelf` is what workers share.
        The values of settings `from_environment` are shown to nobody.
        """
        self._sockets = sockets or {}
        self._worker = worker
        self._patience = patience
        self.haste = Haste()
        self.metrics = Metrics(__version__)
        self.health = Health()
        # What goes to standard error may be the audit log as well: lines of the two never tear each other.
        is_shared = worker is not None or config.log.audit == "stderr"
        self.log = Log(config.log, worker=worker, is_shared=is_shared)
        self._access_log = AccessLog(config.log, LineWriter(STANDARD_OUTPUT, is_shared=worker is not None))
        self._supervisor = Supervisor(self.log, self.health)
        self._clock = clock
        self._directory = directory
        self._file = file
        self._audit = AuditLog(worker=worker)
        self.administration = Administration(config, self.metrics, self.log, self._audit, clock)
        self.administration.follow(config, from_environment)
        self._spans = SpanTally()
        self._sessions = SessionTally(self.log)
        self._upkeep = Upkeep(config, directory, self._notice, clock, self._sessions, shelf)
        bug = partial(self._report_bug, "endpoints")
        self._editions = Editions(
            directory, clock, self._notice, self._upkeep, self.metrics, self._sessions, bug, self._spans
        )
        try:
            self._follow_audit(self._outlet(config))
            self._edition = self._editions.compile(config, Files())
        except BaseException:
            self._audit.close()
            raise
        self._reloader: Reloader | None = None
        if file is not None:
            self._reloader = Reloader(
                file,
                environment,
                lambda: self.snapshot,
                self._put_in_force,
                self._upkeep.look_at_keys,
                self.log,
                self.metrics,
                self._audit,
            )
        self._runners: list[Runner] = []
        self._is_draining = False
        self.plane: DataPlane
        self.listeners: Listeners

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self.drain()
        finally:
            await self._stop()

    async def drain(self) -> None:
        """Stop taking connections and let requests under way finish, within `timeouts.drain`. Once is enough."""
        if self._is_draining:
            return
        self._is_draining = True
        self.health.drain()
        self._supervisor.stop_one(_RELOAD)
        self.log.info("draining", connections=len(self.plane.connections))
        cut = await drain(self.plane, self.listeners, self.haste)
        self.log.info("drained", cut=cut)

    @property
    def snapshot(self) -> Snapshot:
        """The configuration in force."""
        return self._edition.snapshot

    def reload_soon(self) -> None:
        """Have the configuration and all its files read again. What cannot be used is told, and changes nothing."""
        if self._reloader is not None:
            self._reloader.reload_soon()

    async def _put_in_force(self, loaded: Loaded, files: Files) -> None:
        """Replace the configuration: prepare all of it, then swap. Raises CompileMistakes, BadSetting, OSError."""
        former, config = self._edition, loaded.config
        outlet = await asyncio.to_thread(self._outlet, config)
        try:
            edition = await asyncio.to_thread(self._editions.compile, config, files, former)
            try:
                await self._editions.open(edition)
            except BaseException:
                await self._editions.discard(edition, former)
                raise
        except BaseException:
            self._audit.discard(outlet)
            raise
        self._swap(edition)
        self.administration.follow(config, loaded.document.from_environment)
        self._follow_audit(outlet)
        self._watch_what_is_written()
        self._warn_of_plain_links(former.snapshot)
        self._editions.retire(former, edition, lambda each: self.plane.is_needed(each.snapshot))
        await judge_again(self.plane, edition.snapshot)

    def _swap(self, edition: Edition) -> None:
        """Put an edition in force. Nothing in here waits, and nothing can fail."""
        former, snapshot = self._edition, edition.snapshot
        self._edition = edition
        self.plane.swap(snapshot)
        self._editions.put_in_force(edition)
        self._upkeep.follow(snapshot, edition.control.post)
        self._follow_jobs(former.snapshot, snapshot)
        self._trace(edition)
        self.log.adapt(snapshot.config.log)
        self._access_log.adapt(snapshot.config.log)
        self.metrics.reloaded(self._clock())

    def _trace(self, edition: Edition) -> None:
        self.plane.traces = edition.traces
        self._upkeep.trace(edition.traces)

    def _outlet(self, config: Config) -> Outlet:
        """Return where the audit log goes. Raises BadSetting: nobody shall believe that there is one."""
        try:
            return self._audit.prepared(config.log.audit, self._directory)
        except OSError as error:
            raise BadSetting(f"log.audit: cannot write to {config.log.audit}: {error.strerror}") from error

    def _follow_audit(self, outlet: Outlet) -> None:
        self._audit.adapt(outlet)
        self._sessions.audit = SessionAudit(self._audit) if self._audit.is_on else None

    def _watch_what_is_written(self) -> None:
        """Have operators told what of the audit log and of traces is lost."""
        if self._audit.is_on:
            self._supervisor.keep("audit_log", lambda: self._audit.keep_telling(self.log))
        else:
            self._supervisor.stop_one("audit_log")
        if self._edition.traces is not None:
            self._supervisor.keep("traces", lambda: self._spans.keep_telling(self.log))
        else:
            self._supervisor.stop_one("traces")

    def _follow_jobs(self, former: Snapshot, snapshot: Snapshot) -> None:
        """Stop the work that nobody needs any more, and start what is new."""
        jobs = snapshot.jobs
        for name, job in former.jobs.items():
            if jobs.get(name) != job:
                self._supervisor.stop_one(name)
        for name, job in jobs.items():
            self._supervisor.keep(name, job)

    async def _start(self) -> None:
        loop = asyncio.get_running_loop()
        recorder = RequestRecorder(self.metrics, self._access_log, self.log, self.administration.ring)
        self.plane = DataPlane(self.snapshot, loop, self._clock, recorder, self._notice)
        self.listeners = Listeners(self.plane, self._sockets)
        observe(self.metrics, self.plane, self._supervisor, self._access_log, self.log, self._audit, self._spans)
        self._trace(self._edition)
        self._upkeep.observe(self.metrics)
        self.plane.deadlines.start()
        self._supervisor.start("access_log", self._access_log.keep_flushing)
        self._watch_what_is_written()
        for name, job in self.snapshot.jobs.items():
            self._supervisor.start(name, job)
        await self._upkeep.start(self._supervisor, self.health, self.snapshot, self._edition.control.post)
        await self._editions.open(self._edition)
        self._editions.put_in_force(self._edition)
        await self._serve_ops()
        await self._serve_admin()
        await self._settle()
        await self.listeners.open(self.snapshot.config.listen)
        self.metrics.loaded(self._clock())
        if self._reloader is not None:
            self._supervisor.start(_RELOAD, self._reloader.keep_watching)
        self.health.mark_started()
        addresses = [str(listener.address) for listener in self.snapshot.config.listen]
        routes = len(self.snapshot.routes.routes)
        self.log.info("listening", addresses=addresses, routes=routes, version=__version__, compiled=IS_COMPILED)
        self._audit.write("gateway_started", **NOT_ASKED, version=__version__, **await self._identified())
        self._warn_of_plain_links()

    async def _identified(self) -> dict[str, str | None]:
        """Return what this process goes by, for the audit log: the configuration file, and its SHA-256."""
        if self._file is None or not self._audit.is_on:
            return {}
        digest = (await asyncio.to_thread(digests_now, [self._file]))[self._file]
        return {"file": str(self._file), "digest": digest.hex() if digest else None}

    async def _settle(self) -> None:
        """Wait for what blocks readiness: whoever waits in the queue of a socket gets a better answer then."""
        end = time.monotonic() + self._patience
        while self.health.is_blocked and time.monotonic() < end and not self.haste.skip_delay.is_set():  # noqa: ASYNC110 - once, at the start
            await asyncio.sleep(_LOOK)

    def _warn_of_plain_links(self, former: Snapshot | None = None) -> None:
        """Tell of upstreams that are reached over a network without TLS (RFC 9700 §4.13), and were not before."""
        known = {} if former is None else former.upstreams
        for name, upstream in self.snapshot.upstreams.items():
            plain = [str(target) for target in upstream.targets if not target.is_protected]
            if plain and known.get(name) is not upstream:
                self.log.warning("upstream_unprotected", upstream=name, targets=plain)

    async def _serve_ops(self) -> None:
        ops = self.snapshot.config.ops
        if ops is None or self._worker is not None:
            return
        pages = ops_pages(self.metrics, self.health)
        self._runners.append(await PageServer.listening(pages, self._place(ops.address)))
        self.log.info("ops_listening", address=str(ops.address))

    async def _serve_admin(self) -> None:
        admin = self.snapshot.config.admin
        if admin is None:
            return
        place, state = self._place(admin.address), self._upkeep.state
        if admin.tls is not None and not isinstance(place, socket.socket):
            place = listening_socket(admin.address)
        runner = await self.administration.serve(
            place, lambda: self.snapshot, state, self.plane, self._file, self._reloader
        )
        self._runners.append(runner)
        self.log.info("admin_listening", address=str(admin.address))

    async def _stop(self) -> None:
        await self._supervisor.stop()
        for runner in self._runners:
            await runner.cleanup()
        if hasattr(self, "plane"):
            self.plane.deadlines.stop()
            self.plane.close_pools()
        await self._upkeep.close()
        await self._editions.close(self._edition)
        await asyncio.to_thread(self._access_log.close)
        if self.health.started().is_ok:
            self._audit.write("gateway_stopped", **NOT_ASKED)
        await asyncio.to_thread(self._audit.close)

    def _place(self, address: Address) -> Place:
        if (inherited := self._sockets.get(address)) is not None:
            return inherited.dup()
        return Path(address.path) if address.path else (address.host, address.port)

    def _report_bug(self, place: str, error: BaseException) -> None:
        self.plane.report_bug(place, error)

    def _notice(self, event: str, fields: dict[str, Any]) -> None:
        report = {"error": self.log.error, "warning": self.log.warning}.get(_LEVELS.get(event, "info"), self.log.info)
        report(event, **fields)
        self._audit.notice(event, fields)
