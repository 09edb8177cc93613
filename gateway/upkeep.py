"""Upkeep: the background work that sessions and revocations need in every process, and the numbers it gives."""

import asyncio
from contextlib import suppress

from gateway.config.compile import Snapshot
from gateway.config.compile_sessions import alarm_secret
from gateway.config.schema import Config
from gateway.config.sessions import SessionsSettings
from gateway.engine.acknowledging import Acknowledgements
from gateway.engine.sessions import SessionService
from gateway.mechanisms.alarm import Alarms
from gateway.mechanisms.base import Resources
from gateway.mechanisms.fetch import ControlClient
from gateway.mechanisms.key_file import KeyFile
from gateway.model.errors import StoreUnavailable
from gateway.model.session import EndReason
from gateway.state.base import State
from gateway.state.following import RevocationFollower
from gateway.state.opening import open_state
from gateway.supervise import Supervisor
from gateway.telemetry.health import Health
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.session_tally import SessionTally
from gateway.telemetry.tally import DurationTally
from gateway.timed_state import TimedFeed, TimedStore, Watch

FIRST_SNAPSHOT = "first snapshot of revocations"
"""What readiness waits for."""
PATIENCE = 5.0
"""Seconds that the end waits for what was begun with sessions."""


class Upkeep:
    """One per process. Without `state` in the configuration it does nothing."""

    def __init__(self, config: Config, resources: Resources, tally: SessionTally, control: ControlClient) -> None:
        """Gives `resources` what the configuration is compiled with. Connects to nothing yet."""
        self._resources = resources
        self._tally = tally
        self._control = control
        self._watch = Watch(resources.notice)
        self._delays = DurationTally()
        self._acknowledgements = Acknowledgements()
        self._alarms: Alarms | None = None
        self._follower: RevocationFollower | None = None
        self._sessions: SessionService | None = None
        resources.record = tally.record
        resources.seen = self._acknowledgements.seen
        if config.state is not None:
            state = open_state(config.state, resources.directory, resources.notice, resources.clock)
            resources.state = State(
                TimedStore(state.store, self._watch), TimedFeed(state.feed, self._watch), state.view
            )

    async def start(self, supervisor: Supervisor, health: Health, snapshot: Snapshot) -> None:
        """Start the background tasks. Raises BadStore; a store that cannot be reached only delays readiness."""
        state = self._resources.state
        if state is None:
            return
        health.block(FIRST_SNAPSHOT)
        with suppress(StoreUnavailable):  # the follower tells, and tries again
            await state.store.open()
        sessions = self._sessions = snapshot.sessions
        self._follower = RevocationFollower(
            state.feed,
            state.view,
            state.store,
            self._resources.notice,
            ready=lambda: health.unblock(FIRST_SNAPSHOT),
            observed=self._delays.observe,
            restore=None if sessions is None else lambda sid: sessions.end(sid, EndReason.RESTORED),
        )
        supervisor.start("revocations", self._follower.run)
        if sessions is None or snapshot.own is None:
            return
        supervisor.start("acknowledgements", lambda: self._acknowledgements.keep_committing(sessions.acknowledge))
        settings = snapshot.config.sessions
        assert settings is not None
        keys = KeyFile(
            self._resources.directory / settings.key_file,
            snapshot.own.keys,
            self._resources.notice,
            clock=self._resources.clock,
        )
        supervisor.start("session_keys", keys.keep_fresh)
        self._start_alarms(settings, supervisor)

    def _start_alarms(self, settings: SessionsSettings, supervisor: Supervisor) -> None:
        secret = alarm_secret(settings, self._resources)
        if settings.alarm is None or secret is None:
            return
        self._alarms = Alarms(settings.alarm.url, secret, self._control.post, self._resources.clock)
        self._tally.alarm = self._alarms.send
        supervisor.start("alarms", self._alarms.keep_sending)

    def observe(self, metrics: Metrics) -> None:
        """Register the readers of what is counted here."""
        tally, view = self._tally, None if self._resources.state is None else self._resources.state.view
        metrics.observe("gateway_exchanges_total", lambda: [((name,), n) for name, n in tally.exchanges.items()])
        metrics.observe("gateway_exchanges_healed_total", lambda: [((), tally.healed)])
        metrics.observe_durations("gateway_repeat_age_seconds", lambda: [((), tally.repeat_ages)])
        metrics.observe("gateway_sessions_opened_total", lambda: [((), tally.opened)])
        metrics.observe("gateway_sessions_ended_total", lambda: [((name,), n) for name, n in tally.ended.items()])
        metrics.observe("gateway_logins_total", lambda: [((name,), n) for name, n in tally.logins.items()])
        metrics.observe("gateway_endpoint_answers_total", lambda: list(tally.answers.items()))
        metrics.observe("gateway_alarms_total", lambda: [((name,), n) for name, n in self._alarm_results()])
        metrics.observe("gateway_store_errors_total", self._watch.errors)
        metrics.observe_durations("gateway_store_seconds", self._watch.seconds)
        metrics.observe_durations("gateway_revocation_delay_seconds", lambda: [((), self._delays)])
        if view is not None:
            metrics.observe("gateway_revocation_staleness_seconds", lambda: [((), view.staleness())])
            metrics.observe("gateway_revocations", lambda: [((), len(view))])
        metrics.observe("gateway_revocation_resyncs_total", lambda: [((name,), n) for name, n in self._resyncs()])
        metrics.observe("gateway_revocations_restored_total", lambda: [((), self._restored())])

    async def close(self) -> None:
        """Let go of the store, when what was begun with sessions is done."""
        if self._sessions is not None and self._sessions.under_way:
            await asyncio.wait(self._sessions.under_way, timeout=PATIENCE)
        if self._resources.state is not None:
            await self._resources.state.store.close()

    def _alarm_results(self) -> list[tuple[str, int]]:
        return [] if self._alarms is None else list(self._alarms.results.items())

    def _resyncs(self) -> list[tuple[str, int]]:
        return [] if self._follower is None else list(self._follower.resyncs.items())

    def _restored(self) -> int:
        return 0 if self._follower is None else self._follower.pushed_back
