"""An operator with the console open: fills the ring of decisions, then asks for what the console asks for, forever.

It listens when the ring is full.
"""

import argparse
import http.client
import json
import socket
import time
from typing import Final

from bench.gateway_setup import ADMIN_TOKEN

_REFUSED: Final = 3000
"""More than a ring holds."""
_TAIL: Final = 1.0
"""Seconds between two looks at the latest decisions."""
_OVERVIEW: Final = 2.0
"""Seconds between two looks at the counters."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Look at a gateway as the console does.")
    parser.add_argument("--gateway", type=int, required=True, metavar="PORT")
    parser.add_argument("--admin", type=int, required=True, metavar="PORT")
    parser.add_argument("--port", type=int, required=True, help="where it listens when it has begun")
    options = parser.parse_args()
    _fill(options.gateway)
    admin = http.client.HTTPConnection("127.0.0.1", options.admin)
    decisions = _told(admin, "/decisions?limit=100")
    if len(decisions["decisions"]) != 100:
        raise SystemExit("the ring is not full")
    with socket.create_server(("127.0.0.1", options.port)):
        _look(admin)


def _fill(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for number in range(_REFUSED):
        connection.request("GET", f"/orders/{number}")
        response = connection.getresponse()
        response.read()
        if response.status != 401:
            raise SystemExit(f"status {response.status} instead of 401")


def _look(admin: http.client.HTTPConnection) -> None:
    since, overview_at = 0.0, 0.0
    while True:
        for decision in _told(admin, f"/decisions?limit=100&since={since}")["decisions"]:
            since = max(since, decision["ended"])
        if time.monotonic() >= overview_at:
            overview_at = time.monotonic() + _OVERVIEW
            _told(admin, "/counters")
        time.sleep(_TAIL)


def _told(admin: http.client.HTTPConnection, path: str) -> dict[str, list[dict[str, float]]]:
    admin.request("GET", f"/admin/api/v1{path}", headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})
    response = admin.getresponse()
    told: dict[str, list[dict[str, float]]] = json.loads(response.read())
    if response.status != 200:
        raise SystemExit(f"status {response.status}")
    return told


if __name__ == "__main__":
    main()
