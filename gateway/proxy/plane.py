"""What all connections of a process share: the Snapshot, the pools, the clock, and where it is all recorded."""

import asyncio
import os
from email.utils import formatdate
from itertools import chain
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from gateway.config.compile_upstreams import UpstreamSpec
from gateway.config.snapshot import Snapshot
from gateway.model.clock import Clock
from gateway.model.notice import Notice
from gateway.proxy.answer_heads import AnswerHeads
from gateway.proxy.cuts import Cuts
from gateway.proxy.deadlines import Deadlines
from gateway.proxy.doors import Hall, affordable
from gateway.proxy.pool import UpstreamPool
from gateway.proxy.rejudging import judge_connection
from gateway.proxy.rounds import Rounds
from gateway.proxy.sweep import Sweep

if TYPE_CHECKING:
    from gateway.proxy.client import ClientConnection
    from gateway.proxy.relay import Relay
    from gateway.proxy.tls_entrance import Handshake
    from gateway.telemetry.trace import Traces


class Recorder(Protocol):
    """Where the data plane reports what happened."""

    def request(self, relay: "Relay", now: float) -> None: ...
    def cut(self, reason: str, number: int) -> None: ...
    def bug(self, place: str, error: BaseException | None) -> None: ...


class DataPlane:
    """One per process."""

    def __init__(
        self, snapshot: Snapshot, loop: asyncio.AbstractEventLoop, clock: Clock, recorder: Recorder, notice: Notice
    ) -> None:
        self.loop = loop
        self.clock = clock
        self.rounds = Rounds(loop)
        self.deadlines = Deadlines(loop)
        self._sweep = Sweep(self)
        self.deadlines.watch(self._sweep)
        self.is_draining = False
        self.connections: set[ClientConnection] = set()
        self.handshakes: set[Handshake] = set()
        """Of TLS, under way."""
        self.hall = Hall(lambda: chain(self.connections, self.handshakes))
        self.cuts = Cuts(recorder.cut)
        self.deadlines.watch(self.cuts)
        self.connections_total = 0
        self.header_bytes = self.headers = self.target_bytes = 0
        self.keep_alive = 0.0
        """These are asked for with every request, and so stand here too, where it takes no time to look them up."""
        self.empty = asyncio.Event()
        self.empty.set()
        self.pools: dict[str, UpstreamPool] = {}
        self._leaving: list[UpstreamPool] = []
        """Those of former Snapshots, until their requests have ended."""
        self._judging: set[asyncio.Task[None]] = set()
        self.traces: Traces | None = None
        """Where spans of requests come from. A request that has begun keeps those that it began with."""
        self._recorder = recorder
        self._notice = notice
        self._request_id_prefix = os.urandom(6).hex() + "-"
        self._requests = 0
        self._date_second = 0
        self._date = b""
        self.swap(snapshot)

    def swap(self, snapshot: Snapshot) -> None:
        """Use another Snapshot for every request that comes from now on."""
        self.rounds.work()  # what has arrived came before
        former = getattr(self, "snapshot", snapshot)
        self._sweep.remember(snapshot.routes.least_staleness)
        self.snapshot = snapshot
        self.answer_heads = AnswerHeads(snapshot.answers)
        self.limits = snapshot.config.limits
        self.timeouts = snapshot.config.timeouts
        self.header_bytes = self.limits.header_bytes
        self.headers = self.limits.headers
        self.target_bytes = self.limits.target_bytes
        self.keep_alive = self.timeouts.keep_alive
        self.hall.limit(
            affordable(self.limits.connections),
            self.limits.requests,
            [(str(each.address), each.connections, each.requests) for each in snapshot.config.listen],
        )
        self._swap_pools(snapshot)
        proven_otherwise = _listeners_with_other_clients(former, snapshot)
        for connection in list(self.connections):
            connection.meet(snapshot, stays=connection.door.name not in proven_otherwise)
        for handshake in self.handshakes:
            if handshake.door.name in proven_otherwise:
                handshake.connection.leaves = True

    def _swap_pools(self, snapshot: Snapshot) -> None:
        """Keep the pools of upstreams that are the same; the others finish what they have begun."""
        former, self.pools = self.pools, {}
        for name, spec in snapshot.upstreams.items():
            pool = former.get(name)
            if pool is not None and pool.spec is spec:
                self.pools[name] = former.pop(name)
            else:
                self.pools[name] = UpstreamPool(spec, self.loop, self.rounds, self.deadlines, self._notice)
        self._leaving = [pool for pool in self._leaving if pool.is_used]
        for pool in former.values():
            pool.close()
            self._leaving.append(pool)

    def pool(self, spec: UpstreamSpec) -> UpstreamPool:
        """Return the pool of an upstream, which may be one of a former Snapshot."""
        pool = self.pools.get(spec.name)
        return pool if pool is not None and pool.spec is spec else self._former_pool(spec)

    def _former_pool(self, spec: UpstreamSpec) -> UpstreamPool:
        """Return a pool for a request that began before a reload: it keeps no connection for another one."""
        for pool in self._leaving:
            if pool.spec is spec:
                return pool
        pool = UpstreamPool(spec, self.loop, self.rounds, self.deadlines, self._notice)
        pool.close()
        self._leaving.append(pool)
        return pool

    def judge_soon(self, connection: "ClientConnection") -> None:
        """Judge by the present rules what began under former ones, and may go on for long as it shows now."""
        task = self.loop.create_task(judge_connection(self, self.snapshot, connection))
        self._judging.add(task)
        task.add_done_callback(self._judging.discard)

    def close_pools(self) -> None:
        """Let no pool keep a connection that nobody uses, nor check its targets."""
        for pool in self.pools.values():
            pool.close()

    def is_needed(self, snapshot: Snapshot) -> bool:
        """Say whether a request under way may still want one of the gateway's own routes of this Snapshot."""
        relays = [connection.relay for connection in self.connections]
        begun = [relay for relay in relays if relay is not None and relay.began and relay.snapshot is snapshot]
        return any(relay.route is None or relay.route.is_own for relay in begun)

    def http_date(self) -> bytes:
        """Return the `Date` line of this second."""
        second = int(self.clock())
        if second != self._date_second:
            self._date_second = second
            self._date = b"Date: " + formatdate(second, usegmt=True).encode() + b"\r\n"
        return self._date

    def fresh_request_id(self) -> str:
        """Return an id that no other request of any process has."""
        self._requests += 1
        return self._request_id_prefix + hex(self._requests)[2:]

    @property
    def tunnels(self) -> int:
        """How many upgraded connections are open."""
        return sum(connection.is_tunnel for connection in self.connections)

    def connected(self, connection: "ClientConnection") -> bool:
        """Count a new connection in, and make room for it. Returns False when it must be refused."""
        self.connections.add(connection)
        self.connections_total += 1
        self.empty.clear()
        self.deadlines.watch(connection)
        handshake, connection.handshake = connection.handshake, None
        if handshake is None:
            return self.hall.enter(connection)
        self.handshakes.discard(handshake)  # and its place goes to the connection
        return True

    def shaking(self, handshake: "Handshake") -> bool:
        """Count a TLS handshake in, and make room for it. Returns False when it must be refused."""
        self.handshakes.add(handshake)
        return self.hall.enter(handshake)

    def shaken(self, handshake: "Handshake") -> None:
        """Count out a handshake that came to nothing."""
        self.handshakes.discard(handshake)
        self.hall.leave(handshake)

    def disconnected(self, connection: "ClientConnection") -> None:
        if connection not in self.connections:
            return
        self.connections.discard(connection)
        self.hall.leave(connection)
        if not self.connections:
            self.empty.set()
        self.deadlines.forget(connection)

    def record(self, relay: "Relay") -> None:
        """A request has ended."""
        self._recorder.request(relay, monotonic())

    def report_bug(self, place: str, error: BaseException | None) -> None:
        """Something happened that is nobody's refusal."""
        self._recorder.bug(place, error)


def _listeners_with_other_clients(former: Snapshot, snapshot: Snapshot) -> set[str]:
    """Return the listeners that ask for client certificates of other authorities than before, or begin to ask."""
    before = {address: tls.clients for address, tls in former.listener_tls.items()}
    return {
        str(address)
        for address, tls in snapshot.listener_tls.items()
        if address in before and before[address] != tls.clients and tls.clients is not None
    }
