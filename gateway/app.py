"""The composition root: the only place that wires objects. Starts a gateway, stops it without losing a request."""

import asyncio
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from gateway import __version__
from gateway.admin.admission import Admission
from gateway.admin.app import LINE_BYTES, admin_application
from gateway.config.compile import Snapshot, compile_config
from gateway.config.schema import Config
from gateway.endpoints.app import endpoints_application
from gateway.endpoints.building import build_endpoints
from gateway.mechanisms.base import Resources
from gateway.model.clock import Clock, unix_now
from gateway.model.upstream import Address
from gateway.observe import observe
from gateway.ops.app import ops_application
from gateway.ops.listen import serve
from gateway.proxy.listener import Listeners
from gateway.proxy.plane import DataPlane
from gateway.proxy.recorder import RequestRecorder
from gateway.supervise import Supervisor
from gateway.telemetry.access_log import AccessLog
from gateway.telemetry.health import Health
from gateway.telemetry.log import Log
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.session_tally import SessionTally
from gateway.upkeep import Upkeep

_LEVELS = {
    "state_failed": "error",
    "keys_exposed": "warning",
    "keys_fetch_failed": "warning",
    "keys_reload_failed": "warning",
    "login_backend_failed": "warning",
    "redis_old": "warning",
    "redis_policy_unknown": "warning",
    "redis_version_unknown": "warning",
    "revocations_gap": "warning",
    "state_reading_failed": "warning",
    "store_failed": "warning",
    "users_file_failed": "warning",
}
"""How urgent is what the parts notice; the rest is expected."""


class Gateway:
    """One running process. Use as an async context manager: inside, it serves; leaving drains it.

    Raises CompileMistakes for a configuration that cannot be built, OSError for an address that cannot be bound.
    """

    def __init__(self, config: Config, directory: Path, clock: Clock = unix_now) -> None:
        """`directory` is where relative file names of the configuration start."""
        self.metrics = Metrics(__version__)
        self.health = Health()
        self.log = Log(config.log)
        self._access_log = AccessLog(config.log)
        self._supervisor = Supervisor(self.log, self.health)
        self._control = config.fetch.client(directory)
        self._clock = clock
        self._resources = Resources(directory, self._control.fetch, clock, self._notice)
        self._sessions = SessionTally(self.log)
        self._upkeep = Upkeep(config, self._resources, self._sessions, self._control)
        with ExitStack() as private:
            # Made only when it is needed: a container without a writable directory can do without it.
            is_needed = config.identity is not None or config.sessions is not None
            self._endpoints_socket = _private_socket(private) if is_needed else Path("/nonexistent")
            self.snapshot: Snapshot = compile_config(config, self._resources, self._endpoints_socket)
            self._private = private.pop_all()
        self._runners: list[web.AppRunner] = []
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
        await self.drain()
        await self._stop()

    async def drain(self) -> None:
        """Stop taking connections and let requests under way finish, within `timeouts.drain`."""
        self.health.drain()
        self.log.info("draining", connections=len(self.plane.connections))
        cut = await self.listeners.drain(self.plane.timeouts.drain)
        self.log.info("drained", cut=cut)

    async def _start(self) -> None:
        loop = asyncio.get_running_loop()
        recorder = RequestRecorder(self.metrics, self._access_log, self.log)
        self.plane = DataPlane(self.snapshot, loop, self._clock, recorder)
        self.listeners = Listeners(self.plane)
        observe(self.metrics, self.plane, self._supervisor, self._access_log)
        self._upkeep.observe(self.metrics)
        self.plane.deadlines.start()
        self._supervisor.start("access_log", self._access_log.keep_flushing)
        for name, task in self._resources.tasks:
            self._supervisor.start(name, task)
        await self._upkeep.start(self._supervisor, self.health, self.snapshot)
        await self._serve_endpoints()
        await self._serve_ops()
        await self._serve_admin()
        await self.listeners.open(self.snapshot.config.listen)
        self.metrics.reloaded(self._clock())
        self.health.mark_started()
        addresses = [str(listener.address) for listener in self.snapshot.config.listen]
        self.log.info("listening", addresses=addresses, routes=len(self.snapshot.routes.routes), version=__version__)
        self._warn_of_plain_links()

    def _warn_of_plain_links(self) -> None:
        """Tell of upstreams that are reached over a network without TLS (RFC 9700 §4.13)."""
        for name, upstream in self.snapshot.upstreams.items():
            plain = [str(target) for target in upstream.targets if not target.is_protected]
            if plain:
                self.log.warning("upstream_unprotected", upstream=name, targets=plain)

    async def _serve_endpoints(self) -> None:
        config = self.snapshot.config
        if config.identity is None and config.sessions is None:
            return
        endpoints = build_endpoints(
            self.snapshot,
            self._resources,
            self._control.post,
            self._sessions.login,
            record=self._sessions.answered,
            failed=partial(self.plane.report_bug, "endpoints"),
        )
        jwks_path = "/" if config.identity is None else config.identity.jwks_path
        app = endpoints_application(self.snapshot.identity_key, jwks_path, endpoints)
        limits = config.limits  # what the proxy lets pass arrives, and the few headers that it adds
        runner = await serve(
            app,
            self._endpoints_socket,
            line_bytes=limits.target_bytes + 64,
            field_bytes=limits.header_bytes,
            headers=limits.headers + 16,
            finishes=True,
        )
        self._runners.append(runner)

    async def _serve_ops(self) -> None:
        ops = self.snapshot.config.ops
        if ops is None:
            return
        self._runners.append(await serve(ops_application(self.metrics, self.health), _place(ops.address)))
        self.log.info("ops_listening", address=str(ops.address))

    async def _serve_admin(self) -> None:
        snapshot = self.snapshot
        admin, state = snapshot.config.admin, self._resources.state
        if admin is None or state is None or snapshot.sessions is None or snapshot.own is None:
            return
        admission = Admission(
            self._clock,
            state.view,
            snapshot.config.revocation.max_staleness,
            snapshot.admin_token,
            tuple(snapshot.authenticators[name] for name in admin.authenticators or ()),
            admin.require,
        )
        issuers = [each.expect.issuer for each in snapshot.authenticators.values()]
        app = admin_application(snapshot.sessions, admission, snapshot.own.expect.issuer, self.log, issuers)
        self._runners.append(await serve(app, _place(admin.address), line_bytes=LINE_BYTES))
        self.log.info("admin_listening", address=str(admin.address))

    async def _stop(self) -> None:
        await self._supervisor.stop()
        for runner in self._runners:
            await runner.cleanup()
        if hasattr(self, "plane"):
            self.plane.deadlines.stop()
        await self._upkeep.close()
        await self._control.close()
        await asyncio.to_thread(self._access_log.close)
        self._private.close()

    def _notice(self, event: str, fields: dict[str, Any]) -> None:
        report = {"error": self.log.error, "warning": self.log.warning}.get(_LEVELS.get(event, "info"), self.log.info)
        report(event, **fields)


def _place(address: Address) -> tuple[str, int] | Path:
    return Path(address.path) if address.path else (address.host, address.port)


def _private_socket(stack: ExitStack) -> Path:
    """Return where the gateway serves its own routes: to nobody but this process, until the stack is closed."""
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-"))) / "endpoints.sock"
