"""The pool of an upstream: lends connections to relays, opens new ones, and lets relays wait for one to become free."""

import asyncio
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, cast

from gateway.config.compile_upstreams import UpstreamSpec
from gateway.model.errors import (
    InternalError,
    Refusal,
    UpstreamClosed,
    UpstreamFailed,
    UpstreamSaturated,
    UpstreamTimeout,
)
from gateway.model.notice import Notice
from gateway.proxy.budget import RetryBudget
from gateway.proxy.connecting import Connector, is_fault_of_target
from gateway.proxy.deadlines import Deadlines
from gateway.proxy.health import HealthChecks
from gateway.proxy.probe import Probe
from gateway.proxy.rounds import Rounds
from gateway.proxy.targets import PooledTarget, Targets
from gateway.proxy.trouble import Trouble
from gateway.proxy.upstream import UpstreamConnection

if TYPE_CHECKING:
    from gateway.proxy.relay import Relay


class UpstreamPool:
    """Lends connections to the targets of one upstream."""

    def __init__(
        self,
        spec: UpstreamSpec,
        loop: asyncio.AbstractEventLoop,
        rounds: Rounds,
        deadlines: Deadlines,
        notice: Notice,
    ) -> None:
        self.spec = spec
        self.loop = loop
        self.rounds = rounds
        self.deadlines = deadlines
        self.deadline = inf
        self.targets = Targets(spec)
        self.trouble = Trouble(spec, self.targets, notice, self._changed)
        self.connector = Connector(spec, loop)
        self.budget = RetryBudget(spec.retries, monotonic())
        self.retries = {"stale": 0, "unanswered": 0, "connect": 0}
        self.checks = self._health_checks()
        self._requests = 0
        self._has_gates = spec.requests is not None or spec.breaker is not None
        self._waiting: dict[Relay, float] = {}
        self._tasks: dict[Relay, asyncio.Task[None]] = {}
        self._is_closed = False
        deadlines.watch(self)

    def take(self, relay: "Relay") -> UpstreamConnection | None:
        """Lend a connection at once, or return None and call `upstream_ready` or `upstream_failed` later.

        Raises UpstreamSaturated when the queue is full, CircuitOpen or NoHealthyTarget.
        """
        self._requests += 1
        target = self.targets.choose()
        if self._has_gates:
            self._admit()
        while target.idle:
            connection = target.idle.pop()
            if not connection.transport.is_closing():
                connection.serve(relay)
                return connection
        self._open_or_wait(relay, target)
        return None

    def take_again(self, relay: "Relay", failed: UpstreamConnection) -> None:
        """Lend a fresh connection later, like `take`, in place of one that failed."""
        if failed.served:
            self.retries["stale"] += 1
            target = self.targets.choose()
        else:
            self.retries["unanswered"] += 1
            target = self.targets.with_a_place(but=(failed.target,)) or self.targets.choose()
        self._open_or_wait(relay, target)

    def may_retry(self, failed: UpstreamConnection) -> bool:
        """Say whether a request may be sent again whose connection was closed without a byte of an answer.

        One that was used before was probably closed before the request came (RFC 9112 §9.3.1): that is no sign of
        trouble, and happens at most once for each request that was answered. Any other is paid from the budget.
        """
        if failed.served:
            return True
        if not self.spec.retries.unanswered or self.targets.with_a_place(but=(failed.target,)) is None:
            return False
        return self.budget.take(self._requests, monotonic())

    def give_up(self, relay: "Relay") -> None:
        """Forget a relay that waits for a connection."""
        self._waiting.pop(relay, None)
        if (task := self._tasks.pop(relay, None)) is not None:
            task.cancel()

    def give_back(self, connection: UpstreamConnection) -> None:
        """Take back a connection that is fit for another request."""
        target = connection.target
        if self._waiting and target.is_usable:
            relay = self._first_waiting()
            connection.serve(relay)
            relay.upstream_ready(connection)
        elif self._is_closed or len(target.idle) >= self.spec.idle_connections or not target.is_usable:
            connection.abort()
        else:
            connection.deadline = monotonic() + self.spec.idle_lifetime
            target.idle.append(connection)

    def gone(self, connection: UpstreamConnection) -> None:
        """A connection is closed, or could not be opened: its place is free."""
        target = connection.target
        target.open.discard(connection)
        if connection in target.idle:
            target.idle.remove(connection)
        self._serve_waiting()

    def lost(self, connection: UpstreamConnection, relay: "Relay", error: Refusal) -> None:
        """A connection failed before it gave its relay an answer, by the target's fault."""
        if isinstance(error, UpstreamFailed | UpstreamTimeout):
            self.trouble.failed(connection.target, error, relay.sent_at)
            connection.may_be_replaced = isinstance(error, UpstreamClosed) and connection.is_unanswered
            if not connection.may_be_replaced:
                self.trouble.request_failed(error, relay.sent_at)

    def not_replaced(self, connection: UpstreamConnection, relay: "Relay", error: Refusal) -> None:
        """A relay gives up after its connection failed: no other target is asked."""
        if connection.may_be_replaced:
            self.trouble.request_failed(error, relay.sent_at)

    def deadline_passed(self, now: float) -> None:
        """Refuse the requests that have waited too long for a connection; give ejected targets another chance."""
        self.trouble.take_back(now)
        late = [relay for relay, deadline in self._waiting.items() if deadline <= now]
        for relay in late:
            del self._waiting[relay]
        self._plan()
        for relay in late:
            error = UpstreamSaturated(f"{self.spec.name}: no connection became free in {self.spec.connect_timeout:g} s")
            relay.upstream_failed(error, None)
        self._rest()

    @property
    def is_used(self) -> bool:
        """Whether there are connections, or requests that wait for one."""
        return bool(self._waiting) or any(target.open for target in self.targets)

    def close(self) -> None:
        """Close idle connections now, and every other one when its request is done."""
        self._is_closed = True
        if self.checks is not None:
            self.checks.close()
        for target in self.targets:
            _close_idle(target)
        self._rest()

    def _health_checks(self) -> HealthChecks | None:
        health = self.spec.health
        if health is None:
            return None
        probe = Probe(self.spec, health, self.connector)
        return HealthChecks(health, self.targets.all, self.deadlines, self.loop, probe.check, self.trouble.checked)

    def _admit(self) -> None:
        most = self.spec.requests
        if most is not None and sum(target.busy for target in self.targets) + len(self._waiting) >= most:
            raise UpstreamSaturated(f"{self.spec.name}: {most} requests are under way already")
        self.trouble.admit()

    def _open_or_wait(self, relay: "Relay", target: PooledTarget) -> None:
        if target.busy < self.spec.connections:
            self._connect(relay, target)
        elif len(self._waiting) < self.spec.queue:
            self._waiting[relay] = monotonic() + self.spec.connect_timeout
            self._plan()
            self.deadlines.watch(self)  # it may be closed
        else:
            raise UpstreamSaturated(f"{self.spec.name}: {len(self._waiting)} requests wait for a connection already")

    def _changed(self) -> None:
        """Other targets than before get requests, or none at all."""
        for target in self.targets:
            if not target.is_usable:
                _close_idle(target)
        refusal = self.trouble.refusal()
        while refusal is not None and self._waiting:
            self._first_waiting().upstream_failed(refusal, None)
        self._serve_waiting()
        self._plan()

    def _plan(self) -> None:
        self.deadline = min(next(iter(self._waiting.values()), inf), self.trouble.next_return)

    def _rest(self) -> None:
        if self._is_closed and not self._waiting:
            self.deadlines.forget(self)

    def _serve_waiting(self) -> None:
        while self._waiting and (target := self.targets.with_a_place()) is not None:
            self._connect(self._first_waiting(), target)

    def _first_waiting(self) -> "Relay":
        relay = next(iter(self._waiting))
        del self._waiting[relay]
        return relay

    def _connect(self, relay: "Relay", target: PooledTarget) -> None:
        place = self._place(target)
        task = self.loop.create_task(self._connect_for(relay, place))
        self._tasks[relay] = task
        task.add_done_callback(lambda done: self.gone(place) if done.cancelled() else None)  # it may never have begun

    def _place(self, target: PooledTarget) -> UpstreamConnection:
        """Return a connection to be opened; an idle one makes room for it if need be."""
        place = UpstreamConnection(self, target)
        spare = target.idle.pop(0) if target.idle and len(target.open) >= self.spec.connections else None
        target.open.add(place)
        if spare is not None:
            target.open.discard(spare)
            spare.abort()
        return place

    async def _connect_for(self, relay: "Relay", place: UpstreamConnection) -> None:
        asked_at = monotonic()
        try:
            connection = await self._open_any(place)
        except (UpstreamTimeout, UpstreamFailed) as error:
            self._tasks.pop(relay, None)
            if is_fault_of_target(error):
                self.trouble.request_failed(error, asked_at)
            relay.upstream_failed(error, None)
        except Exception as error:  # noqa: BLE001 - fail closed: nobody else would ever answer the request
            self._tasks.pop(relay, None)
            self.loop.call_exception_handler({"message": "connecting failed", "exception": error})
            relay.upstream_failed(InternalError(type(error).__name__), None)
        else:
            self._tasks.pop(relay, None)
            connection.serve(relay)
            relay.upstream_ready(connection)

    async def _open_any(self, place: UpstreamConnection) -> UpstreamConnection:
        """Open a connection to the place's target, or to another one if that cannot be reached."""
        tried = [place.target]
        while True:
            try:
                return await self._open(place)
            except (UpstreamTimeout, UpstreamFailed):
                other = self.targets.with_a_place(but=tried)
                if other is None or len(tried) > self.spec.retries.targets:
                    raise
            self.retries["connect"] += 1
            tried.append(other)
            place = self._place(other)

    async def _open(self, place: UpstreamConnection) -> UpstreamConnection:
        asked_at = monotonic()
        try:
            await self.connector.connect(lambda: cast(asyncio.Protocol, place), place.target.address)
        except BaseException as error:
            if isinstance(error, UpstreamTimeout | UpstreamFailed) and is_fault_of_target(error):
                self.trouble.failed(place.target, error, asked_at)
            self.gone(place)
            raise
        return place


def _close_idle(target: PooledTarget) -> None:
    for connection in list(target.idle):
        connection.abort()
