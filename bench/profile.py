"""`python -m bench.profile`: one proxied request through the data plane, with transports in memory.

Without sockets and kernel, what is left is what this project's own code costs: the figure to watch while changing it.
Calls and byte codes are those of interpreted code, and do not depend on the machine; of compiled modules they count
nothing.
"""

import asyncio
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median
from types import FrameType
from typing import Any, cast

from bench.gateway_setup import write_gateway_config
from bench.lookups import revocations
from bench.material import make_material
from bench.scene import Ports, Scene
from gateway.commands.check import checked
from gateway.model.clock import unix_now
from gateway.proxy.client import ClientConnection
from gateway.proxy.plane import DataPlane
from gateway.proxy.recorder import RequestRecorder
from gateway.proxy.upstream import UpstreamConnection
from gateway.state.revocations import RevocationView
from gateway.telemetry.access_log import AccessLog
from gateway.telemetry.decision_settings import DecisionSettings
from gateway.telemetry.decisions import DecisionRing
from gateway.telemetry.log import Log
from gateway.telemetry.log_settings import LogSettings
from gateway.telemetry.metrics import Metrics

TOKENS = 1000
_ROUNDS = 25
_SHOWN = 40
_REVOCATIONS = 10_000
_ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: app\r\nDate: Sun, 22 Nov 2026 03:24:00 GMT\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 200\r\nConnection: keep-alive\r\n\r\n" + b"x" * 200
)


class _Memory:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def get_extra_info(self, name: str) -> object:
        return ("127.0.0.1", 5) if name == "peername" else None

    def is_closing(self) -> bool:
        return False


class Trip:
    """One client's connection and one upstream's, with the plane between them."""

    def __init__(self, directory: Path) -> None:
        material = make_material(directory, TOKENS)
        config = write_gateway_config(Scene(directory, 9, material, connections=1), Ports(8080, 8443, 9090))
        snapshot = checked(Path(config), {})
        view = RevocationView()
        view.add(revocations(_REVOCATIONS))
        view.refreshed(int(time.time() * 1000), time.monotonic() + 3600)
        snapshot.gatekeeper.revocations = view
        log, settings = Log(LogSettings()), LogSettings(access=False)
        recorder = RequestRecorder(Metrics("bench"), AccessLog(settings), log, DecisionRing(DecisionSettings(keep=0)))
        plane = DataPlane(snapshot, asyncio.new_event_loop(), unix_now, recorder, lambda event, fields: None)
        self.requests = [
            b"GET /orders/17 HTTP/1.1\r\nHost: api.example\r\nAuthorization: Bearer %b\r\n\r\n" % token
            for token in material.tokens.read_bytes().split()
        ]
        plane.rounds.at_once = sys.maxsize
        self._to_client, self._to_upstream = _Memory(), _Memory()
        self._client = ClientConnection(plane, secure=False)
        self._client.connection_made(cast(asyncio.BaseTransport, self._to_client))
        pool = plane.pools["bench"]
        self._upstream = UpstreamConnection(pool, pool.targets.all[0])
        self._upstream.connection_made(cast(asyncio.BaseTransport, self._to_upstream))
        self._upstream.target.open.add(self._upstream)
        self._upstream.target.idle.append(self._upstream)

    def go(self, request: bytes) -> None:
        """Send a request, and its answer back."""
        self._client.data_received(request)
        self._upstream.data_received(_ANSWER)
        if not self._to_upstream.written or not self._to_client.written[0].startswith(b"HTTP/1.1 200 "):
            raise SystemExit(f"not proxied: {self._to_client.written}")
        self._to_upstream.written.clear()
        self._to_client.written.clear()


def main() -> None:
    """Print the time, the calls and the byte codes."""
    with tempfile.TemporaryDirectory() as directory:
        trip = Trip(Path(directory))
    times = [_time(trip) for _ in range(_ROUNDS + 1)][1:]
    codes, calls = _byte_codes(trip)
    print(f"CPU µs per request: {min(times):.1f} at best, {median(times):.1f} median")
    print(f"interpreted: {sum(calls.values())} calls, {sum(codes.values())} byte codes")
    for name, number in codes.most_common(_SHOWN):
        print(f"{number:6} {calls[name]:3}  {name}")


def _time(trip: Trip) -> float:
    started = time.process_time_ns()
    for request in trip.requests:
        trip.go(request)
    return (time.process_time_ns() - started) / len(trip.requests) / 1000


def _byte_codes(trip: Trip) -> tuple[Counter[str], Counter[str]]:
    """Return the byte codes and the calls of one request, by function."""
    codes: Counter[str] = Counter()
    calls: Counter[str] = Counter()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        name = f"{Path(frame.f_code.co_filename).stem}.{frame.f_code.co_qualname}"
        calls[name] += event == "call"
        codes[name] += event == "opcode"
        return trace

    sys.settrace(trace)
    trip.go(trip.requests[7])
    sys.settrace(None)
    return codes, calls


if __name__ == "__main__":
    main()
