"""`python -m bench.steady`: requests at a constant rate, whether or not the answers keep up.

A request that has to wait for a free connection, or for this process, counts from when it was due: so a pause of the
server is seen by all requests that fell into it, and not by one for each connection (coordinated omission).
"""

import argparse
import ctypes
import gc
import json
import select
import socket
import time
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Final

from bench.answers import ANSWER

_CONNECTIONS: Final = 128
_WARM_UP: Final = 0.3
_GRACE: Final = 2.0
_PR_SET_TIMERSLACK: Final = 29
_RIGHT: Final = b"HTTP/1.1 200 "
_END: Final = ANSWER.encode()

_clock = time.perf_counter


def run(port: int, requests: Sequence[bytes], rate: float, seconds: float) -> dict[str, float]:
    """Send requests in turn; return the rate in fact and the latencies after a short warm-up."""
    lanes = _Lanes(port, requests, 1 / rate)
    counted = lanes.due + _WARM_UP
    lanes.run_until(counted + seconds)
    latencies = sorted(latency for due, latency in lanes.answered if due >= counted)
    lanes.close()
    return {
        "rate": len(latencies) / seconds,
        "p50_ms": _percentile(latencies, 0.5),
        "p99_ms": _percentile(latencies, 0.99),
        "p999_ms": _percentile(latencies, 0.999),
        # What is not answered by now was lost.
        "wrong": lanes.wrong + len(lanes.busy),
    }


class _Lanes:
    """Connections, each of which carries one request at a time."""

    def __init__(self, port: int, requests: Sequence[bytes], interval: float) -> None:
        self._idle = [_connected(port) for _ in range(_CONNECTIONS)]
        self._requests = cycle(requests)
        self._interval = interval
        self._received: dict[socket.socket, bytes] = {}
        self.busy: dict[socket.socket, float] = {}
        """When the request that a connection carries was due."""
        self.due = _clock() + 0.01
        """When the next request is."""
        self.answered: list[tuple[float, float]] = []
        self.wrong = 0

    def run_until(self, end: float) -> None:
        """Send every request that is due before the end, and wait for the answers for a little longer."""
        while (now := _clock()) < end or (self.busy and now < end + _GRACE):
            while self.due <= now and self.due < end and self._idle:
                self._send()
            # With no connection free, or nothing more to send, only an answer is waited for.
            pause = self.due - _clock() if self._idle and self.due < end else _GRACE
            if self.busy:
                self._receive(max(0.0, pause))
            else:
                time.sleep(max(0.0, min(pause, end - _clock())))

    def close(self) -> None:
        """Close all connections."""
        for connection in (*self._idle, *self.busy):
            connection.close()

    def _send(self) -> None:
        connection = self._idle.pop()
        connection.send(next(self._requests))
        self.busy[connection] = self.due
        self.due += self._interval

    def _receive(self, pause: float) -> None:
        ready, _, _ = select.select(list(self.busy), (), (), pause)
        now = _clock()
        for connection in ready:
            data = self._received.pop(connection, b"") + (new := connection.recv(65536))
            if new and not data.endswith(_END) and data.startswith(_RIGHT):
                self._received[connection] = data
                continue
            due = self.busy.pop(connection)
            if new and data.startswith(_RIGHT):
                self._idle.append(connection)
                self.answered.append((due, now - due))
            else:
                self.wrong += 1
                connection.close()


def _percentile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000 if ordered else 0.0


def _connected(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _request(number: int, token: str) -> bytes:
    head = f"GET /orders/{number:06d} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n"
    return head.encode()


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--tokens", type=Path, required=True)
    options = parser.parse_args()
    # Wake up when it is time, and not up to 50 µs later; and never stop to look for garbage.
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1000, 0, 0, 0)
    gc.disable()
    requests = [_request(number, token) for number, token in enumerate(options.tokens.read_text().split())]
    print("BENCH " + json.dumps(run(options.port, requests, options.rate, options.seconds)))


if __name__ == "__main__":
    main()
