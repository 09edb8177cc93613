"""Ports for servers that tests start."""

import os
import random
import socket

_CHOICE = random.SystemRandom()  # not the one that tests seed
_LANES = 16
_LANE = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _LANES
"""Each process of a run takes ports of its own."""
_given: set[int] = set()


def free_port() -> int:
    """Return a port that is free, was not given before, and is below those that connections are given: nobody else
    takes it meanwhile."""
    while True:
        port = _CHOICE.randrange(18_000 + _LANE, 32_000, _LANES)
        if port in _given:
            continue
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        if len(_given) > 600:  # of 875
            _given.clear()
        return port
