"""What all connections of a process share: the Snapshot, the pools, the clock, and where it is all recorded."""

import asyncio
import os
from email.utils import formatdate
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from gateway.config.compile import Snapshot
from gateway.config.compile_upstreams import UpstreamSpec
from gateway.model.clock import Clock
from gateway.proxy.deadlines import Deadlines
from gateway.proxy.heads import AnswerHeads
from gateway.proxy.pool import UpstreamPool
from gateway.proxy.sweep import Sweep

if TYPE_CHECKING:
    from gateway.proxy.client import ClientConnection
    from gateway.proxy.relay import Relay


class Recorder(Protocol):
    """Where the data plane reports what happened."""

    def request(self, relay: "Relay", now: float) -> None: ...
    def bug(self, place: str, error: BaseException | None) -> None: ...


class DataPlane:
    """One per process."""

    def __init__(self, snapshot: Snapshot, loop: asyncio.AbstractEventLoop, clock: Clock, recorder: Recorder) -> None:
        self.loop = loop
        self.clock = clock
        self.deadlines = Deadlines(loop)
        self.deadlines.watch(Sweep(self))
        self.answer_heads = AnswerHeads()
        self.is_draining = False
        self.connections: set[ClientConnection] = set()
        self.connections_total = 0
        self.empty = asyncio.Event()
        self.empty.set()
        self.pools: dict[str, UpstreamPool] = {}
        self._recorder = recorder
        self._request_id_prefix = os.urandom(6).hex()
        self._request_ids = count()
        self._date_second = 0
        self._date = b""
        self.swap(snapshot)

    def swap(self, snapshot: Snapshot) -> None:
        """Use another Snapshot for every request that comes from now on."""
        self.snapshot = snapshot
        self.limits = snapshot.config.limits
        self.timeouts = snapshot.config.timeouts

    def pool(self, spec: UpstreamSpec) -> UpstreamPool:
        """Return the pool of an upstream; a changed upstream gets a new one."""
        pool = self.pools.get(spec.name)
        if pool is None or pool.spec is not spec:
            if pool is not None:
                pool.close()
            pool = self.pools[spec.name] = UpstreamPool(spec, self.loop, self.deadlines)
        return pool

    def http_date(self) -> bytes:
        """Return the `Date` line of this second."""
        second = int(self.clock())
        if second != self._date_second:
            self._date_second = second
            self._date = b"Date: " + formatdate(second, usegmt=True).encode() + b"\r\n"
        return self._date

    def fresh_request_id(self) -> str:
        """Return an id that no other request of any process has."""
        return f"{self._request_id_prefix}-{next(self._request_ids):x}"

    @property
    def tunnels(self) -> int:
        """How many upgraded connections are open."""
        return sum(connection.is_tunnel for connection in self.connections)

    def connected(self, connection: "ClientConnection") -> bool:
        """Count a new connection in. Returns False when there are too many."""
        self.connections.add(connection)
        self.connections_total += 1
        self.empty.clear()
        self.deadlines.watch(connection)
        return len(self.connections) <= self.limits.connections

    def disconnected(self, connection: "ClientConnection") -> None:
        self.connections.discard(connection)
        if not self.connections:
            self.empty.set()
        self.deadlines.forget(connection)

    def record(self, relay: "Relay") -> None:
        """A request has ended."""
        self._recorder.request(relay, monotonic())

    def report_bug(self, place: str, error: BaseException | None) -> None:
        """Something happened that is nobody's refusal."""
        self._recorder.bug(place, error)
