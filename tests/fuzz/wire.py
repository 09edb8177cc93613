"""The data plane of a real gateway between ends that exist in memory: deterministic, and quick enough to fuzz.

Only the sockets are made up. `Loop` is asyncio's own, except that its connections lead to `Wire`s; time does not pass.
"""

import asyncio
import io
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from gateway.config.compile import compile_config
from gateway.config.load import load_text
from gateway.config.snapshot import Snapshot
from gateway.mechanisms.base import offline_resources
from gateway.proxy.client import ClientConnection
from gateway.proxy.plane import DataPlane
from gateway.proxy.recorder import RequestRecorder
from gateway.proxy.relay import Relay
from gateway.telemetry.access_log import AccessLog
from gateway.telemetry.decision_settings import DecisionSettings
from gateway.telemetry.decisions import DecisionRing
from gateway.telemetry.lines import LineWriter
from gateway.telemetry.log import Log
from gateway.telemetry.log_settings import LogSettings
from gateway.telemetry.metrics import Metrics
from tests.minting import NOW

CONFIG = """
listen: [{address: "127.0.0.1:0"}]
upstreams: {app: {targets: ["http://192.0.2.1:9000"]}}
routes:
  - {id: open, match: {path: "/**"}, upstream: app, access: public, upgrades: [websocket]}
  - {id: few, match: {path: "/few"}, upstream: app, access: public, body_bytes: 8}
limits: {target_bytes: 512}
"""


class Wire(asyncio.Transport):
    """One end of a connection: `protocol` is the gateway's; what it writes is kept, and told to `far`."""

    def __init__(self, loop: "Loop", protocol: asyncio.Protocol, far: "Callable[[Wire, bytes], None]") -> None:
        super().__init__({"peername": ("192.0.2.7", 5000)})
        self._loop = loop
        self._protocol = protocol
        self._far = far
        self._waiting: list[bytes] = []
        self._is_paused = False
        self._ends = False
        self.written = b""
        self.is_closed = False
        self.is_aborted = False
        self.has_eof = False
        protocol.connection_made(self)

    def feed(self, data: bytes) -> None:
        """Let the gateway receive bytes, as soon as it reads."""
        self._waiting.append(data)
        self._loop.call_soon(self._deliver)

    def feed_eof(self) -> None:
        """Let the gateway see that this end was closed, after everything that was fed."""
        self._ends = True
        self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        while self._waiting and not (self._is_paused or self.is_closed):
            self._protocol.data_received(self._waiting.pop(0))
        if self._ends and not (self._waiting or self._is_paused or self.is_closed):
            self._ends = False
            if not self._protocol.eof_received():
                self.close()

    # --- asyncio.Transport

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self.is_closed:
            self.written += bytes(data)
            self._loop.call_soon(self._far, self, bytes(data))

    def writelines(self, parts: Any) -> None:
        self.write(b"".join(parts))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.has_eof = True

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self._loop.call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        self.is_aborted = self.is_aborted or not self.is_closed
        self.close()

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        self._is_paused = True

    def resume_reading(self) -> None:
        self._is_paused = False
        self._loop.call_soon(self._deliver)

    def is_reading(self) -> bool:
        return not self._is_paused

    def get_write_buffer_size(self) -> int:
        return 0


class Loop(asyncio.SelectorEventLoop):
    """`far` is told what the gateway writes to an upstream. `far_ends` are the connections to upstreams, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.far: Callable[[Wire, bytes], None] = lambda wire, data: None
        self.far_ends: list[Wire] = []
        self.errors: list[Any] = []
        self.set_exception_handler(lambda loop, context: self.errors.append(context))

    async def create_connection(self, factory: Any, *place: Any, **options: Any) -> Any:  # type: ignore[override]
        protocol = factory()
        wire = Wire(self, protocol, self.far)
        self.far_ends.append(wire)
        return wire, protocol

    def settle(self) -> None:
        """Run until nothing is left to do."""
        ready = cast(Any, self)._ready
        for _ in range(20_000):
            self.call_soon(self.stop)
            self.run_forever()
            if not ready:
                return
        raise AssertionError("it never comes to rest")


class Recorder:
    """The gateway's own, and a list of what was recorded."""

    def __init__(self) -> None:
        settings = LogSettings(level="error")
        access_log = AccessLog(settings, cast(LineWriter, _Nowhere()))
        self._own = RequestRecorder(
            Metrics("0"), access_log, Log(settings, io.StringIO()), DecisionRing(DecisionSettings())
        )
        self.relays: list[Relay] = []
        self.bugs: list[tuple[str, BaseException | None]] = []

    def request(self, relay: Relay, now: float) -> None:
        self._own.request(relay, now)
        self.relays.append(relay)

    def cut(self, reason: str, number: int) -> None:
        self._own.cut(reason, number)

    def bug(self, place: str, error: BaseException | None) -> None:
        self._own.bug(place, error)
        self.bugs.append((place, error))


class _Nowhere:
    def write(self, line: str) -> None:
        assert line.isascii()
        assert "\n" not in line.removesuffix("\n")

    def __getattr__(self, name: str) -> Any:
        return None


LOOP = Loop()


def snapshot() -> Snapshot:
    """Return the configuration above, compiled."""
    return compiled(CONFIG)


def compiled(text: str) -> Snapshot:
    """Return what a configuration says."""
    loaded = load_text(text, {})
    return compile_config(loaded.config, offline_resources(Path("/nonexistent")))


class Between:
    """A gateway with one client. `far` plays the upstream: it is given each connection, and what came on it."""

    def __init__(self, ready: Snapshot, far: Callable[[Wire, bytes], None]) -> None:
        self.recorder = Recorder()
        LOOP.far, LOOP.far_ends, LOOP.errors = far, [], []
        self.plane = DataPlane(ready, LOOP, lambda: NOW, self.recorder, lambda event, fields: None)
        self.client = self.new_client()

    def new_client(self) -> Wire:
        return Wire(LOOP, cast(asyncio.Protocol, ClientConnection(self.plane, secure=False)), lambda wire, data: None)

    def feed(self, pieces: list[bytes]) -> None:
        """Let the gateway receive these from its client, one after the other."""
        for piece in pieces:
            self.client.feed(piece)
            LOOP.settle()

    def close(self) -> None:
        """Close everything; nothing may be left, and nothing may have gone wrong."""
        for connection in list(self.plane.connections):
            connection.abort()
        LOOP.settle()
        for pool in self.plane.pools.values():
            pool.close()
        LOOP.settle()
        assert not self.plane.connections
        for wire in LOOP.far_ends:
            assert wire.is_closed, "a connection to the upstream is left"
        with suppress(StopIteration):
            place, error = next(iter(self.recorder.bugs))
            raise AssertionError(f"a bug in {place}") from error
        assert not LOOP.errors, LOOP.errors


def pieces(data: bytes, choice: int) -> list[bytes]:
    """Return the data in pieces: of one byte for 0, else of several sizes that follow from the choice.

    Not in more pieces than a head may have.
    """
    if choice == 0 and len(data) <= 1000:
        return [data[place : place + 1] for place in range(len(data))]
    parts, size = [], choice
    while data:
        parts.append(data[: size % 64 + 1])
        data = data[size % 64 + 1 :]
        size = (size * 5 + 3) % 251
    return parts
