"""The side of a process that operators look at: its latest decisions, and the admin API."""

import ssl
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.config.mistakes import SettingPath
from gateway.config.schema import Config
from gateway.config.snapshot import Snapshot
from gateway.model.clock import Clock
from gateway.model.told import Gather
from gateway.ops.pages import Place
from gateway.proxy.plane import DataPlane
from gateway.reload import Reloader
from gateway.state.base import State
from gateway.telemetry.audit import AuditLog
from gateway.telemetry.decision_settings import DecisionSettings
from gateway.telemetry.decisions import DecisionRing
from gateway.telemetry.log import Log
from gateway.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from aiohttp import web

    from gateway.admin.parts import AdminParts
    from gateway.insight.asking import Insight

_NONE_KEPT = DecisionSettings(keep=0)


class Administration:
    """One per process. Without `admin` in the configuration nothing is kept, and nobody listens.

    Set `gather` before `serve`, where there are several workers.
    """

    def __init__(self, config: Config, metrics: Metrics, log: Log, audit: AuditLog, clock: Clock) -> None:
        self._metrics = metrics
        self._log = log
        self._audit = audit
        self._clock = clock
        self.ring = DecisionRing(_settings(config))
        self.from_environment: Collection[SettingPath] = ()
        """The settings in force that are not in the file: their values are never shown."""
        self.gather: Gather | None = None
        self.insight: Insight | None = None
        """What other workers ask; None before `serve`."""

    def follow(self, config: Config, from_environment: Collection[SettingPath]) -> None:
        """Go by another configuration."""
        self.from_environment = from_environment
        self.ring.adapt(_settings(config))

    async def serve(
        self,
        place: Place,
        present: Callable[[], Snapshot],
        state: State | None,
        plane: DataPlane,
        file: Path | None,
        reloader: Reloader | None,
    ) -> "web.AppRunner":
        """Listen for operators. `present` gives the Snapshot in force. Raises OSError."""
        # Only who has one waits for it to load.
        from gateway.admin.app import LINE_BYTES, admin_application
        from gateway.admin.building import admin_parts
        from gateway.insight.asking import Insight, Reload
        from gateway.ops.listen import serve

        settings = present().config.admin
        is_protected = settings is not None and settings.tls is not None

        def reload() -> Reload:
            return Reload(None if file is None else str(file), () if reloader is None else reloader.mistakes)

        def reload_soon() -> None:
            if reloader is not None:
                reloader.reload_soon()

        insight = self.insight = Insight(
            plane, self._metrics, self.ring, lambda: self.from_environment, reload, reload_soon, self.gather
        )

        def parts() -> "AdminParts":
            return admin_parts(present(), state, self._clock, insight)

        def tls() -> ssl.SSLContext:
            files = present().admin
            assert files is not None
            assert files.tls is not None, "it is only added and removed by a restart"
            return files.tls.context

        app = admin_application(parts, self._log, self._audit)
        return await serve(app, place, line_bytes=LINE_BYTES, tls=tls if is_protected else None)


def _settings(config: Config) -> DecisionSettings:
    return _NONE_KEPT if config.admin is None else config.admin.decisions
