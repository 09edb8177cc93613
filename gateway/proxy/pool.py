"""The pool of an upstream: lends connections to relays, opens new ones, and lets relays wait for one to become free."""

import asyncio
from dataclasses import dataclass, field
from math import inf
from time import monotonic
from typing import Any

from gateway.config.compile_upstreams import UpstreamSpec
from gateway.model.errors import ConnectTimeout, Refusal, UpstreamSaturated, UpstreamUnreachable
from gateway.model.upstream import TargetAddress
from gateway.proxy.deadlines import Deadlines
from gateway.proxy.upstream import Borrower, UpstreamConnection


@dataclass(slots=True, eq=False)
class PooledTarget:
    """One target, its connections (open or being opened), and those that are idle: the last used is lent first."""

    address: TargetAddress
    name: str
    """The address as logs show it."""
    authority: bytes
    """Its own host and port, as in `Host`."""
    open: set[UpstreamConnection] = field(default_factory=set)
    idle: list[UpstreamConnection] = field(default_factory=list)

    @property
    def busy(self) -> int:
        return len(self.open) - len(self.idle)


class UpstreamPool:
    """Lends connections to the targets of one upstream."""

    def __init__(self, spec: UpstreamSpec, loop: asyncio.AbstractEventLoop, deadlines: Deadlines) -> None:
        self.spec = spec
        self.loop = loop
        self.deadlines = deadlines
        self.deadline = inf
        self.targets = [PooledTarget(each, str(each), each.authority.encode()) for each in spec.targets]
        self.connects = {"ok": 0, "refused": 0, "timeout": 0, "failed": 0}
        self.retries = 0
        self._waiting: dict[Borrower, float] = {}
        self._tasks: dict[Borrower, asyncio.Task[None]] = {}
        self._turn = 0
        self._is_closed = False
        deadlines.watch(self)

    def take(self, relay: Borrower, *, fresh: bool = False) -> UpstreamConnection | None:
        """Lend a connection at once, or return None and call `upstream_ready` or `upstream_failed` later.

        With `fresh` an idle connection will not do. Raises UpstreamSaturated when the queue is full.
        """
        target = self._choose()
        while target.idle and not fresh:
            connection = target.idle.pop()
            if not connection.transport.is_closing():
                connection.serve(relay)
                return connection
        if len(target.open) < self.spec.connections:
            self._connect(relay, target)
        elif len(self._waiting) < self.spec.queue:
            self._waiting[relay] = monotonic() + self.spec.connect_timeout
            self.deadline = min(self.deadline, self._waiting[relay])
        else:
            raise UpstreamSaturated(f"{self.spec.name}: {len(self._waiting)} requests wait for a connection already")
        return None

    def give_up(self, relay: Borrower) -> None:
        """Forget a relay that waits for a connection."""
        self._waiting.pop(relay, None)
        if (task := self._tasks.pop(relay, None)) is not None:
            task.cancel()

    def give_back(self, connection: UpstreamConnection) -> None:
        """Take back a connection that is fit for another request."""
        if self._waiting:
            relay = self._first_waiting()
            connection.serve(relay)
            relay.upstream_ready(connection)
        elif self._is_closed or len(connection.target.idle) >= self.spec.idle_connections:
            connection.abort()
        else:
            connection.deadline = monotonic() + self.spec.idle_lifetime
            connection.target.idle.append(connection)

    def gone(self, connection: UpstreamConnection) -> None:
        """A connection is closed, or could not be opened: its place is free."""
        target = connection.target
        target.open.discard(connection)
        if connection in target.idle:
            target.idle.remove(connection)
        if self._waiting and len(target.open) < self.spec.connections:
            self._connect(self._first_waiting(), target)

    def deadline_passed(self, now: float) -> None:
        """Refuse the requests that have waited too long for a connection."""
        late = [relay for relay, deadline in self._waiting.items() if deadline <= now]
        for relay in late:
            del self._waiting[relay]
        self.deadline = min(self._waiting.values(), default=inf)
        for relay in late:
            error = UpstreamSaturated(f"{self.spec.name}: no connection became free in {self.spec.connect_timeout:g} s")
            relay.upstream_failed(error, None)

    def close(self) -> None:
        """Close idle connections now, and every other one when its request is done."""
        self._is_closed = True
        for target in self.targets:
            for connection in list(target.idle):
                connection.abort()
        if not self._waiting:
            self.deadlines.forget(self)

    def _first_waiting(self) -> Borrower:
        relay = next(iter(self._waiting))
        del self._waiting[relay]
        return relay

    def _choose(self) -> PooledTarget:
        if len(self.targets) == 1:
            return self.targets[0]
        self._turn = (self._turn + 1) % len(self.targets)
        turn = self.targets[self._turn :] + self.targets[: self._turn]
        if self.spec.balance == "least_connections":
            return min(turn, key=lambda target: target.busy)
        return next((target for target in turn if target.busy < self.spec.connections), turn[0])

    def _connect(self, relay: Borrower, target: PooledTarget) -> None:
        place = UpstreamConnection(self, target)
        target.open.add(place)
        task = self._tasks[relay] = self.loop.create_task(self._connect_for(relay, place))
        task.add_done_callback(lambda done: self.gone(place) if done.cancelled() else None)  # it may never have begun

    async def _connect_for(self, relay: Borrower, place: UpstreamConnection) -> None:
        try:
            connection = await self._open_any(place)
        except Refusal as refusal:
            self._tasks.pop(relay, None)
            relay.upstream_failed(refusal, None)
        else:
            self._tasks.pop(relay, None)
            connection.serve(relay)
            relay.upstream_ready(connection)

    async def _open_any(self, place: UpstreamConnection) -> UpstreamConnection:
        """Open a connection to the place's target, or to another one if that cannot be reached."""
        try:
            return await self._open(place)
        except (ConnectTimeout, UpstreamUnreachable) as refusal:
            error = refusal
        for target in self.targets:
            if target is place.target or len(target.open) >= self.spec.connections:
                continue
            other = UpstreamConnection(self, target)
            target.open.add(other)
            try:
                return await self._open(other)
            except (ConnectTimeout, UpstreamUnreachable) as refusal:
                error = refusal
        raise error

    async def _open(self, place: UpstreamConnection) -> UpstreamConnection:
        try:
            async with asyncio.timeout(self.spec.connect_timeout):
                await self._open_socket(place)
            if place.transport.is_closing():
                raise ConnectionAbortedError("closed at once")
        except BaseException as error:
            self.gone(place)
            raise self._connect_error(place.target.address, error) from error
        self.connects["ok"] += 1
        return place

    def _connect_error(self, address: TargetAddress, error: BaseException) -> BaseException:
        match error:
            case TimeoutError():
                self.connects["timeout"] += 1
                return ConnectTimeout(f"{address}: no connection within {self.spec.connect_timeout:g} s")
            case ConnectionRefusedError():
                self.connects["refused"] += 1
                return UpstreamUnreachable(f"{address}: connection refused")
            case OSError():
                self.connects["failed"] += 1
                return UpstreamUnreachable(f"{address}: {error}")
        return error

    async def _open_socket(self, place: UpstreamConnection) -> None:
        target = place.target.address
        if target.address.path:
            await self.loop.create_unix_connection(lambda: place, target.address.path)
            return
        tls: dict[str, Any] = {}
        if target.scheme == "https":
            tls = {"ssl": self.spec.tls, "server_hostname": self.spec.server_name or target.address.host}
        await self.loop.create_connection(lambda: place, target.address.host, target.address.port, **tls)
