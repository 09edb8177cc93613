"""One scenario: clients at work on two gateways, while what serves them is killed; then a look at every session."""

import asyncio
import heapq
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.fleets import Store, fleet_over, opened, port_of
from bench.honest import Client, Tally
from bench.outages import Outages
from bench.processes import BenchError
from bench.wire import Connection
from tests.clients.processes import Fleet, GatewayProcess

MAX_STALENESS = 5.0
"""Of the routes, which are closed: less than an outage may last."""
_TRYING = 4
"""Workers that try revoked tokens, however busy the others are."""
_AUDIT_SECONDS = 60.0
_METRICS = {
    "exchanges: rotated": ("gateway_exchanges_total", {"result": "rotated"}),
    "exchanges: repeated": ("gateway_exchanges_total", {"result": "repeated"}),
    "exchanges: recovered": ("gateway_exchanges_total", {"result": "recovered"}),
    "exchanges that healed a lost rotation": ("gateway_exchanges_healed_total", {}),
    "sessions ended as stolen": ("gateway_sessions_ended_total", {"reason": "reuse"}),
    "revocations given back": ("gateway_revocations_restored_total", {}),
}


@dataclass(frozen=True, slots=True)
class Event:
    """What happens so many seconds after the start; `run` returns how long the service was impaired, in words."""

    at: float
    name: str
    run: Callable[["Storm"], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A store, and what becomes of it. `lifetime` is that of access tokens, `seconds` how long clients work."""

    name: str
    store: Store
    events: Sequence[Event]
    seconds: float
    sessions: int
    lifetime: int
    seed: int
    workers: int = 32


@dataclass(slots=True)
class Outcome:
    """What came of a scenario."""

    scenario: Scenario
    tally: Tally
    metrics: Counter[str]
    events: list[str]
    unclear: int
    """Sessions that nobody could say anything about in the end."""


@dataclass(slots=True)
class Storm:
    """A scenario that is running."""

    scenario: Scenario
    ships: Fleet
    outages: Outages = field(default_factory=lambda: Outages(MAX_STALENESS))
    tally: Tally = field(default_factory=Tally)
    gateways: list[GatewayProcess] = field(default_factory=list)
    clients: list[Client] = field(default_factory=list)
    metrics: Counter[str] = field(default_factory=Counter)
    is_over: bool = False

    async def run(self) -> Outcome:
        """Play the scenario."""
        self.gateways = await self.start_gateways()
        await self._open_sessions()
        started = time.monotonic()
        due = [(started + client.rng.random(), client.number, client) for client in self.clients]
        heapq.heapify(due)
        tried: list[tuple[float, int, Client]] = []
        workers = [asyncio.create_task(self._work(due, tried)) for _ in range(self.scenario.workers)]
        workers += [asyncio.create_task(self._work(tried, tried)) for _ in range(_TRYING)]
        try:
            events = [await self._play(event, started) for event in self.scenario.events]
            await asyncio.sleep(max(0.0, started + self.scenario.seconds - time.monotonic()))
        finally:
            self.is_over = True
            await asyncio.gather(*workers)
        unclear = await self._audit()
        for gateway in self.gateways:
            await self.count(gateway)
        return Outcome(self.scenario, self.tally, self.metrics, events, unclear)

    async def start_gateways(self) -> list[GatewayProcess]:
        """Start those that the clients know."""
        return list(await asyncio.to_thread(self.ships.pair))

    async def count(self, gateway: GatewayProcess) -> None:
        """Add what a gateway has counted: before it is killed, or in the end."""
        for name, (metric, labels) in _METRICS.items():
            self.metrics[name] += int(await asyncio.to_thread(gateway.metric, metric, **labels))

    async def recovery(self, since: float) -> float:
        """Return the seconds until an exchange is answered with new tokens that was sent after `since`."""
        while True:
            answered = [answered for sent, answered in self.tally.exchanged_at[-200:] if sent >= since]
            if answered:
                return min(answered) - since
            if time.monotonic() - since > 60:
                raise BenchError(f"no exchange succeeds any more: {dict(self.tally.errors)}")
            await asyncio.sleep(0.02)

    async def _play(self, event: Event, started: float) -> str:
        await asyncio.sleep(max(0.0, started + event.at - time.monotonic()))
        at = time.monotonic() - started
        return f"{at:.0f} s: {event.name}: {await event.run(self)}"

    async def _open_sessions(self) -> None:
        numbers = iter(range(self.scenario.sessions))

        async def open_some(gateway: GatewayProcess) -> None:
            connection = Connection(port_of(gateway))
            for number in numbers:
                tokens = await opened(connection, f"user-{number}")
                rng = random.Random(f"{self.scenario.seed}/{number}")
                self.clients.append(Client(number, rng, tokens, self.tally, self.outages))
            connection.close()

        await asyncio.gather(*(open_some(gateway) for gateway in self.gateways * (self.scenario.workers // 2)))

    async def _work(self, due: list[tuple[float, int, Client]], tried: list[tuple[float, int, Client]]) -> None:
        """Do what is due next, again and again. Who has left goes to those that try revoked tokens."""
        connections: dict[int, Connection] = {}
        while not self.is_over:
            if not due or due[0][0] > time.monotonic():
                await asyncio.sleep(0.02)
                continue
            _, number, client = heapq.heappop(due)
            gateways = [self._connection(connections, port_of(gateway)) for gateway in self.gateways]
            pause = await client.step(gateways)
            if pause is not None:
                heapq.heappush(tried if client.state == "left" else due, (time.monotonic() + pause, number, client))
        for connection in connections.values():
            connection.close()

    def _connection(self, connections: dict[int, Connection], port: int) -> Connection:
        if port not in connections:
            connections[port] = Connection(port)
        return connections[port]

    async def _audit(self) -> int:
        """Look at every session once more; return of how many nothing can be said."""
        left = list(self.clients)
        end = time.monotonic() + _AUDIT_SECONDS
        unclear: list[Client] = []

        async def look_at_some(gateway: GatewayProcess) -> None:
            connection = Connection(port_of(gateway))
            while left:
                client = left.pop()
                while not await client.audit(connection) and time.monotonic() < end:
                    await asyncio.sleep(0.3)
                if time.monotonic() >= end:
                    unclear.append(client)
            connection.close()

        await asyncio.gather(*(look_at_some(gateway) for gateway in self.gateways * (self.scenario.workers // 2)))
        return len(unclear)


async def play(scenario: Scenario, directory: Path, house: Path) -> Outcome:
    """Play one scenario."""
    changes: dict[str, Any] = {
        "access": {"lifetime": f"{scenario.lifetime}s", "jitter": 0.2},
        "revocation": {"max_staleness": f"{MAX_STALENESS}s", "when_stale": "closed"},
    }
    async with fleet_over(scenario.store, directory, house, **changes) as ships:
        return await Storm(scenario, ships).run()


# --- events


def kill_redis(seconds: float) -> Callable[[Storm], Awaitable[str]]:
    """Kill a Redis server like `kill -9` does, and start it again after so many seconds."""

    async def run(storm: Storm) -> str:
        server = storm.scenario.store.server
        assert server is not None
        killed_at = time.monotonic()
        storm.outages.begin(killed_at)
        await asyncio.to_thread(server.kill)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(server.start)
        gone = storm.outages.end(time.monotonic())
        return f"gone for {gone:.1f} s, exchanges again {await storm.recovery(killed_at + gone):.1f} s later"

    return run


def kill_primary(lost: float) -> Callable[[Storm], Awaitable[str]]:
    """Kill the primary of a Sentinel group; another takes over, which lacks the writes of the last `lost` seconds."""

    async def run(storm: Storm) -> str:
        group, relay = storm.scenario.store.group, storm.scenario.store.relay
        assert group is not None
        assert relay is not None
        primary = await asyncio.to_thread(lambda: group.primary)
        relay.send_signal(signal.SIGUSR1)
        await asyncio.sleep(lost)
        killed_at = time.monotonic()
        storm.outages.begin(killed_at)
        await asyncio.to_thread(primary.kill)
        await asyncio.to_thread(group.fail_over)
        gone = storm.outages.end(time.monotonic())
        again = await storm.recovery(killed_at)
        return f"another is primary after {gone:.1f} s, exchanges again {again:.1f} s after the kill"

    return run


async def revive_primary(storm: Storm) -> str:
    """Start the old primary again: it takes itself for the primary until the Sentinels tell it otherwise."""
    group = storm.scenario.store.group
    assert group is not None
    [gone] = [server for server in group.servers if server.process is None]
    await asyncio.to_thread(gone.start)
    return f"exchanges {await storm.recovery(time.monotonic()):.1f} s later"


async def kill_gateway(storm: Storm) -> str:
    """Kill one gateway like `kill -9` does, and start another in its place."""
    gateway = storm.gateways[0]
    await storm.count(gateway)
    killed_at = time.monotonic()
    await asyncio.to_thread(gateway.kill)
    recovered = await storm.recovery(killed_at)
    storm.gateways[0] = await asyncio.to_thread(storm.ships.start)
    ready = time.monotonic() - killed_at
    return f"exchanges at the other {recovered:.1f} s later, another in its place after {ready:.1f} s"
