"""Editions: one configuration each, with what is started for it alone. A process has one after the other.

An edition is made whole before it is put in force: compiled, its endpoints serving. When the next one is in force, it
ends as soon as no request needs it.
"""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from gateway.config.compile import compile_config
from gateway.config.reuse import Closeable
from gateway.config.schema import Config
from gateway.config.snapshot import Snapshot
from gateway.endpoints.attempts import Attempts
from gateway.mechanisms.base import Resources
from gateway.mechanisms.fetch import ControlClient
from gateway.mechanisms.files import Files
from gateway.model.clock import Clock
from gateway.model.notice import Notice
from gateway.proxy.inside import Inside
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.session_tally import SessionTally
from gateway.telemetry.trace_tally import SpanTally
from gateway.tokens.remote_keys import RemoteKeys
from gateway.upkeep import Upkeep

if TYPE_CHECKING:
    from gateway.telemetry.trace import Traces

_LOOK_EVERY = 0.1
"""Seconds between two looks whether an edition is still needed."""


class Runner(Protocol):
    """What serves until it is cleaned up."""

    async def cleanup(self) -> None: ...


@dataclass(slots=True, eq=False)
class Edition:
    """One configuration, and what was made for it."""

    snapshot: Snapshot
    resources: Resources
    control: ControlClient
    endpoints: Inside
    """Where the gateway's own routes are served."""
    traces: "Traces | None" = None
    runner: Runner | None = None


class Editions:
    """Makes editions, and ends them. The only place where parts get their resources."""

    def __init__(
        self,
        directory: Path,
        clock: Clock,
        notice: Notice,
        upkeep: Upkeep,
        metrics: Metrics,
        tally: SessionTally,
        failed: Callable[[BaseException], None],
        spans: SpanTally,
    ) -> None:
        """`failed` hears of bugs in endpoints."""
        self._directory = directory
        self._clock = clock
        self._notice = notice
        self._upkeep = upkeep
        self._metrics = metrics
        self._tally = tally
        self._failed = failed
        self._spans = spans
        self._attempts = Attempts(clock)
        self._leaving: list[Edition] = []
        self._endings: set[asyncio.Task[None]] = set()

    def compile(self, config: Config, files: Files, former: Edition | None = None) -> Edition:
        """Return the edition of a configuration, which takes over from the former one what is still the same.

        May run in a thread. Raises CompileMistakes, BadSetting, OSError.
        """
        control = self._control(config, files, former)
        resources = Resources(
            self._directory,
            control.fetch,
            self._clock,
            self._notice,
            control.post,
            state=self._upkeep.state,
            record=self._tally.record,
            tally=self._metrics.route,
            seen=self._upkeep.seen,
            rates=self._upkeep.rates,
            files=files,
        )
        endpoints = Inside()
        before = None if former is None else former.snapshot
        snapshot = compile_config(config, resources, endpoints.connect, before)
        if config.fetch.ca is not None or _fetches_keys(snapshot):
            control.load()
        return Edition(snapshot, resources, control, endpoints, self._traces(snapshot, former))

    def _traces(self, snapshot: Snapshot, former: Edition | None) -> "Traces | None":
        """Return the former traces where nothing has changed for them, else new ones."""
        settings, headers = snapshot.config.traces, snapshot.trace_headers
        if settings is None:
            return None
        if former is not None and former.traces is not None:
            before = former.snapshot
            if (settings, headers) == (before.config.traces, before.trace_headers):
                return former.traces
        from gateway.telemetry.trace_making import make_traces

        return make_traces(settings, headers, self._directory, self._spans.results)

    async def open(self, edition: Edition) -> None:
        """Serve the gateway's own routes, and load what does only where there are any. Raises OSError."""
        snapshot = edition.snapshot
        config = snapshot.config
        if not _has_own_routes(config):
            edition.resources.files.forget()
            return
        from gateway.endpoints.app import HANDLERS, endpoints_application
        from gateway.endpoints.asking import asking
        from gateway.endpoints.building import build_endpoints
        from gateway.ops.listen import serve_inside

        is_watched = config.log.audit is not None or edition.traces is not None
        endpoints = build_endpoints(
            snapshot,
            edition.resources,
            self._attempts,
            self._tally.login,
            record=self._tally.answered,
            failed=self._failed,
            around=asking(config.headers.request_id, edition.traces) if is_watched else None,
        )
        edition.resources.files.forget()
        jwks_path = "/" if config.identity is None else config.identity.jwks_path
        limits = config.limits  # what the proxy lets pass arrives, and the few headers that it adds
        app = endpoints_application(snapshot.identity_jwks, jwks_path, endpoints)
        handlers = app[HANDLERS]
        edition.runner, edition.endpoints.server = await serve_inside(
            app,
            handlers,
            line_bytes=limits.target_bytes + 64,
            field_bytes=limits.header_bytes,
            headers=limits.headers + 16,
        )

    def put_in_force(self, edition: Edition) -> None:
        """Let what outlives editions go by this one."""
        if edition.snapshot.config.sessions is not None:
            self._attempts.adapt(edition.snapshot.config.sessions)

    def retire(self, former: Edition, present: Edition, is_needed: Callable[[Edition], bool]) -> None:
        """End an edition as soon as it `is_needed` no more; one after the other, since they share parts."""
        self._leaving.append(former)
        ending = self._end_later(former, present, is_needed, tuple(self._endings))
        task = asyncio.create_task(ending, name="end of a configuration")
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)

    async def discard(self, edition: Edition, present: Edition) -> None:
        """End an edition, but not what it shares with the present one. Calls that it has begun are finished."""
        await self._end(edition, _parts(edition) - _parts(present))
        if edition.traces is not None and edition.traces is not present.traces:
            await asyncio.to_thread(edition.traces.close)
        if edition.control is not present.control:
            await edition.control.finish()

    async def close(self, present: Edition) -> None:
        """End all of them now."""
        for ending in (endings := tuple(self._endings)):
            ending.cancel()
        await asyncio.gather(*endings, return_exceptions=True)
        for edition in (*self._leaving, present):
            await self._end(edition, _parts(edition))
            await edition.control.close()
            if edition.traces is not None:
                await asyncio.to_thread(edition.traces.close)

    async def _end_later(
        self,
        former: Edition,
        present: Edition,
        is_needed: Callable[[Edition], bool],
        before: Collection[asyncio.Task[None]],
    ) -> None:
        if before:
            await asyncio.wait(before)
        try:
            while is_needed(former):  # noqa: ASYNC110 - requests do not tell when they need it no more
                await asyncio.sleep(_LOOK_EVERY)
            await self.discard(former, present)
            self._leaving.remove(former)
        except Exception as error:  # noqa: BLE001 - it is ended with the process
            self._failed(error)

    async def _end(self, edition: Edition, parts: set[Closeable]) -> None:
        if edition.runner is not None:
            edition.endpoints.server = None
            await edition.runner.cleanup()
            edition.runner = None
        for part in parts:
            part.close()

    def _control(self, config: Config, files: Files, former: Edition | None) -> ControlClient:
        """Return the former client where nothing has changed for it, else a new one."""
        authorities = () if config.fetch.ca is None else (self._directory / config.fetch.ca,)
        digests = files.digests_of(authorities)
        if former is not None and former.snapshot.config.fetch == config.fetch:
            before = former.snapshot.files
            if all(before.get(file) == digest for file, digest in digests.items()):
                return former.control
        return config.fetch.client(self._directory)


def _has_own_routes(config: Config) -> bool:
    return config.identity is not None or config.sessions is not None


def _fetches_keys(snapshot: Snapshot) -> bool:
    return any(isinstance(each.keys, RemoteKeys) for each in snapshot.authenticators.values())


def _parts(edition: Edition) -> set[Closeable]:
    return {built.part for built in edition.snapshot.built.values() if isinstance(built.part, Closeable)}
