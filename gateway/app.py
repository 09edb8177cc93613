"""The composition root: the only place that wires objects. Starts a gateway, stops it without losing a request."""

import asyncio
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from gateway import __version__
from gateway.config.compile import Snapshot, compile_config
from gateway.config.schema import Config
from gateway.endpoints.app import endpoints_application
from gateway.mechanisms.base import Resources
from gateway.model.clock import Clock, unix_now
from gateway.observe import observe
from gateway.ops.app import ops_application
from gateway.ops.listen import serve_ops
from gateway.proxy.listener import Listeners
from gateway.proxy.plane import DataPlane
from gateway.proxy.recorder import RequestRecorder
from gateway.supervise import Supervisor
from gateway.telemetry.access_log import AccessLog
from gateway.telemetry.health import Health
from gateway.telemetry.log import Log
from gateway.telemetry.metrics import Metrics


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
        with ExitStack() as private:
            # Made only when it is needed: a container without a writable directory can do without it.
            self._endpoints_socket = Path("/nonexistent") if config.identity is None else _private_socket(private)
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
        self.plane.deadlines.start()
        self._supervisor.start("access_log", self._access_log.keep_flushing)
        for name, task in self._resources.tasks:
            self._supervisor.start(name, task)
        await self._serve_endpoints()
        await self._serve_ops()
        await self.listeners.open(self.snapshot.config.listen)
        self.metrics.reloaded(self._clock())
        self.health.mark_started()
        addresses = [str(listener.address) for listener in self.snapshot.config.listen]
        self.log.info("listening", addresses=addresses, routes=len(self.snapshot.routes.routes), version=__version__)

    async def _serve_endpoints(self) -> None:
        if self.snapshot.config.identity is None:
            return
        app = endpoints_application(self.snapshot.identity_key, self.snapshot.config.identity.jwks_path)
        self._runners.append(await serve_ops(app, self._endpoints_socket))

    async def _serve_ops(self) -> None:
        ops = self.snapshot.config.ops
        if ops is None:
            return
        address = Path(ops.address.path) if ops.address.path else (ops.address.host, ops.address.port)
        runner = await serve_ops(ops_application(self.metrics, self.health), address)
        self._runners.append(runner)
        self.log.info("ops_listening", address=str(ops.address))

    async def _stop(self) -> None:
        await self._supervisor.stop()
        for runner in self._runners:
            await runner.cleanup()
        if hasattr(self, "plane"):
            self.plane.deadlines.stop()
        await self._control.close()
        await asyncio.to_thread(self._access_log.close)
        self._private.close()

    def _notice(self, event: str, fields: dict[str, Any]) -> None:
        report = self.log.warning if "failed" in event else self.log.info
        report(event, **fields)


def _private_socket(stack: ExitStack) -> Path:
    """Return where the gateway serves its own routes: to nobody but this process, until the stack is closed."""
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-"))) / "endpoints.sock"
