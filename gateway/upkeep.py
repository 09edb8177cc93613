"""Upkeep: the background work that sessions and revocations need in every process, and the numbers it gives.

It outlives every Snapshot: `follow` tells it which one is in force.
"""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.config.schema import Config
from gateway.config.snapshot import Snapshot
from gateway.engine.acknowledging import Acknowledgements
from gateway.engine.sessions import SessionService
from gateway.mechanisms.alarm import Alarms
from gateway.mechanisms.base import Post
from gateway.mechanisms.key_file import KeyFile
from gateway.mechanisms.logins.guarded import RESULTS
from gateway.model.clock import Clock
from gateway.model.errors import StoreUnavailable
from gateway.model.notice import Notice
from gateway.model.session import EndReason, SessionOver
from gateway.model.tally import DurationTally
from gateway.state.base import GAPS, State
from gateway.state.following import RevocationFollower
from gateway.state.opening import open_state
from gateway.state.rate_sharing import RateSharing
from gateway.state.rate_table import RateTable
from gateway.state.sharing import Sharing
from gateway.state.shelf import Shelf
from gateway.supervise import Supervisor
from gateway.telemetry.health import Health
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.session_tally import SessionTally
from gateway.timed_state import TimedFeed, TimedStore, Watch

if TYPE_CHECKING:
    from gateway.telemetry.trace import Traces

FIRST_SNAPSHOT = "first snapshot of revocations"
"""What readiness waits for."""
PATIENCE = 5.0
"""Seconds that the end waits for what was begun with sessions."""
_ALARMS = "alarms"


class Upkeep:
    """One per process. Without `state` in the configuration it does nothing."""

    def __init__(
        self,
        config: Config,
        directory: Path,
        notice: Notice,
        clock: Clock,
        tally: SessionTally,
        shelf: Shelf | None = None,
    ) -> None:
        """`config` is the first one: what it says of the state holds for all. Connects to nothing yet.

        On the `shelf` is what other workers of the same parent know of revocations.
        """
        self._directory = directory
        self._notice = notice
        self._clock = clock
        self._tally = tally
        self._watch = Watch(notice)
        self._delays = DurationTally()
        self._acknowledgements = Acknowledgements()
        self._alarms: Alarms | None = None
        self._follower: RevocationFollower | None = None
        self._keys: KeyFile | None = None
        self._sessions: SessionService | None = None
        self._former: list[SessionService] = []
        self._supervisor: Supervisor
        self._sharing: RateSharing | None = None
        self._view_sharing: Sharing | None = None
        self.state: State | None = None
        self.rates = RateTable(config.limits.rate_keys)
        self._max_staleness = config.revocation.max_staleness
        self.seen = self._acknowledgements.seen
        if config.state is not None:
            state = open_state(config.state, directory, notice, clock)
            store, feed = TimedStore(state.store, self._watch), TimedFeed(state.feed, self._watch)
            self.state = State(store, feed, state.view, state.rates)
            if shelf is not None:
                self._view_sharing = Sharing(shelf, state.view, config.state.name(directory))

    async def start(self, supervisor: Supervisor, health: Health, snapshot: Snapshot, post: Post) -> None:
        """Start the background tasks. Raises BadStore; a store that cannot be reached only delays readiness."""
        self._supervisor = supervisor
        state = self.state
        if state is None:
            return
        health.block(FIRST_SNAPSHOT)
        with suppress(StoreUnavailable):  # the follower tells, and tries again
            await state.store.open()
        self._follower = RevocationFollower(
            state.feed,
            state.view,
            state.store,
            self._notice,
            ready=lambda: health.unblock(FIRST_SNAPSHOT),
            observed=self._delays.observe,
            restore=None if snapshot.sessions is None else self._restore,
            sharing=self._view_sharing,
        )
        supervisor.start("revocations", self._follower.run)
        if state.rates is not None:
            self._sharing = RateSharing(self.rates, state.rates, self._notice)
            supervisor.start("rate_sharing", self._sharing.run)
        self.follow(snapshot, post)
        settings = snapshot.config.sessions
        if settings is None or snapshot.own is None:
            return
        supervisor.start("acknowledgements", lambda: self._acknowledgements.keep_committing(self._acknowledge))
        self._keys = KeyFile(self._directory / settings.key_file, snapshot.own.keys, self._notice, clock=self._clock)
        supervisor.start("session_keys", self._keys.keep_fresh)

    def follow(self, snapshot: Snapshot, post: Post) -> None:
        """Go on with a Snapshot that is in force from now on. `post` is for alarms."""
        if self._sessions is not None:
            self._former = [each for each in (*self._former, self._sessions) if each.under_way]
        self._sessions = snapshot.sessions
        self.rates.capacity = snapshot.config.limits.rate_keys
        self._max_staleness = min(
            snapshot.config.revocation.max_staleness, *(route.max_staleness for route in snapshot.routes.routes)
        )
        self._follow_alarms(snapshot, post)

    def _follow_alarms(self, snapshot: Snapshot, post: Post) -> None:
        settings = None if snapshot.config.sessions is None else snapshot.config.sessions.alarm
        secret = None if snapshot.session_parts is None else snapshot.session_parts.alarm_secret
        if settings is None or secret is None:
            self._tally.alarm = _nobody
            self._supervisor.stop_one(_ALARMS)
            return
        if self._alarms is None:
            self._alarms = Alarms(settings.url, secret, post, self._clock)
        self._alarms.adapt(settings.url, secret, post)
        self._tally.alarm = self._alarms.send
        self._supervisor.keep(_ALARMS, self._alarms.keep_sending)

    def trace(self, traces: "Traces | None") -> None:
        """Make the operations of the store part of traces."""
        self._watch.traces = traces

    async def look_at_keys(self) -> None:
        """Read the key file now, if it has changed."""
        if self._keys is not None:
            await self._keys.look()

    async def _acknowledge(self, sid: str, generation: int) -> None:
        assert self._sessions is not None
        await self._sessions.acknowledge(sid, generation)

    async def _restore(self, sid: str) -> object:
        assert self._sessions is not None
        return await self._sessions.end(sid, EndReason.RESTORED)

    def observe(self, metrics: Metrics) -> None:
        """Register the readers of what is counted here."""
        tally, view = self._tally, None if self.state is None else self.state.view
        metrics.observe("gateway_exchanges_total", lambda: [((name,), n) for name, n in tally.exchanges.items()])
        metrics.observe("gateway_exchanges_healed_total", lambda: [((), tally.healed)])
        metrics.observe_durations("gateway_repeat_age_seconds", lambda: [((), tally.repeat_ages)])
        metrics.observe("gateway_sessions_opened_total", lambda: [((), tally.opened)])
        metrics.observe(
            "gateway_sessions_ended_total", lambda: [((each.value,), tally.ended[each.value]) for each in EndReason]
        )
        metrics.observe("gateway_logins_total", lambda: [((name,), tally.logins[name]) for name in RESULTS])
        metrics.observe("gateway_endpoint_answers_total", lambda: list(tally.answers.items()))
        metrics.observe("gateway_alarms_total", lambda: [((name,), n) for name, n in self._alarm_results()])
        metrics.observe("gateway_store_errors_total", self._watch.errors)
        metrics.observe_durations("gateway_store_seconds", self._watch.seconds)
        metrics.observe_durations("gateway_revocation_delay_seconds", lambda: [((), self._delays)])
        if view is not None:
            metrics.observe("gateway_revocation_staleness_seconds", lambda: [((), view.staleness())])
            metrics.observe("gateway_revocation_max_staleness_seconds", lambda: [((), self._max_staleness)])
            metrics.observe("gateway_revocations", lambda: [((), len(view))])
        metrics.observe("gateway_revocation_resyncs_total", lambda: [((name,), n) for name, n in self._resyncs()])
        metrics.observe("gateway_revocations_restored_total", lambda: [((), self._restored())])

        metrics.observe("gateway_rate_limit_keys", lambda: [((), len(self.rates))])
        metrics.observe("gateway_rate_limit_forgotten_total", lambda: [((), self.rates.forgotten)])
        metrics.observe("gateway_rate_limit_exchanges_total", lambda: [((name,), n) for name, n in self._shared()])

    async def close(self) -> None:
        """Let go of the store, when what was begun with sessions is done."""
        services = self._former if self._sessions is None else [*self._former, self._sessions]
        if under_way := {task for service in services for task in service.under_way}:
            await asyncio.wait(under_way, timeout=PATIENCE)
        if self.state is not None:
            await self.state.store.close()

    def _alarm_results(self) -> list[tuple[str, int]]:
        return [] if self._alarms is None else list(self._alarms.results.items())

    def _shared(self) -> list[tuple[str, int]]:
        return [] if self._sharing is None else list(self._sharing.results.items())

    def _resyncs(self) -> list[tuple[str, int]]:
        return [] if self._follower is None else [(cause, self._follower.resyncs[cause]) for cause in GAPS]

    def _restored(self) -> int:
        return 0 if self._follower is None else self._follower.pushed_back


def _nobody(_: SessionOver) -> None:
    """Where no webhook is configured, nobody hears of thefts but the log."""
