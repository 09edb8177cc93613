"""What a great many revocations in the store, or nothing to do at all, mean for a gateway process."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

from bench.filling import fill
from bench.fleets import SQLITE_FILE, Store, fleet_over
from bench.gateway_setup import gateway_command
from bench.lookups import revocations
from bench.material import make_material
from bench.measure import cpu_seconds, resident_mib
from bench.processes import Cores, Processes, free_ports
from bench.scene import Ports, Scene
from tests.clients.processes import GatewayProcess

_PATIENCE = 240.0


@dataclass(frozen=True, slots=True)
class Start:
    """How a gateway starts over a store with so many revocations. `store_mib` is what they take there."""

    store: str
    revocations: int
    ready_seconds: float
    cpu: float
    resident_mib: float
    store_mib: float


async def starts_over(store: Store, directory: Path, house: Path, number: int) -> list[Start]:
    """Start a gateway over an empty store, and one after so many revocations."""
    async with fleet_over(store, directory, house) as ships:

        async def start(count: int, taken: float) -> Start:
            began = time.perf_counter()
            gateway = ships.launch()
            await _until_ready(gateway)
            seconds = time.perf_counter() - began
            done = Start(store.name, count, seconds, cpu_seconds(gateway.pid), resident_mib(gateway.pid), taken)
            await asyncio.to_thread(gateway.stop)
            return done

        first = await start(0, 0.0)
        before = _mib(store, directory)
        await fill(store, directory, revocations(number))
        return [first, await start(number, _mib(store, directory) - before)]


async def _until_ready(gateway: GatewayProcess) -> None:
    async with asyncio.timeout(_PATIENCE):
        while await asyncio.to_thread(gateway.readiness) != 200:
            await asyncio.sleep(0.02)


def _mib(store: Store, directory: Path) -> float:
    if store.server is not None:
        return int(store.server.run("INFO", "memory")["used_memory"]) / 2**20
    files = (directory / SQLITE_FILE).parent.iterdir()
    return sum(file.stat().st_size for file in files) / 2**20


@dataclass(frozen=True, slots=True)
class Idle:
    """How much of a core a gateway uses that has nothing to do."""

    store: str
    share: float


async def idle_over(store: Store, directory: Path, house: Path, seconds: float) -> Idle:
    """Watch a gateway that follows the revocations in a store."""
    async with fleet_over(store, directory, house) as ships:
        gateway = await asyncio.to_thread(ships.start)
        return Idle(store.name, await _share(gateway.pid, seconds))


async def idle_without_state(directory: Path, cores: Cores, seconds: float) -> Idle:
    """Watch a gateway that has no state."""
    scene = Scene(directory, 9, make_material(directory, 1), connections=1)
    ports = Ports(*free_ports(3))
    with Processes(directory) as processes:
        pid = processes.start("idle", gateway_command(scene, ports), {cores.contender}, ports.http)
        return Idle("none", await _share(pid, seconds))


async def _share(pid: int, seconds: float) -> float:
    await asyncio.sleep(min(1.0, seconds))  # what belongs to the start
    before, since = cpu_seconds(pid), time.perf_counter()
    await asyncio.sleep(seconds)
    return (cpu_seconds(pid) - before) / (time.perf_counter() - since)
