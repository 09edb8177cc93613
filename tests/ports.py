"""Ports for servers that tests start."""

import fcntl
import os
import random
import socket
import tempfile
from functools import cache
from pathlib import Path

_CHOICE = random.SystemRandom()  # not the one that tests seed
_LANES = 28
_given: set[int] = set()


def free_port() -> int:
    """Return a port that is free, was not given before, and is below those that connections are given: nobody else
    takes it meanwhile."""
    while True:
        port = _CHOICE.randrange(18_000 + _lane(), 32_000, _LANES)
        if port in _given:
            continue
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        if len(_given) > 400:  # of 500
            _given.clear()
        return port


@cache
def _lane() -> int:
    """Take a lane that no other process of tests on this machine has, of whatever run. It is let go with this process.

    Else two gateways of the same user might share a port (`SO_REUSEPORT`), or one might come to where a test wants
    nobody to be.
    """
    directory = Path(tempfile.gettempdir()) / f"gateway-test-ports-{os.getuid()}"
    directory.mkdir(exist_ok=True)
    for lane in range(_LANES):
        descriptor = os.open(directory / str(lane), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
        else:
            return lane
    raise RuntimeError(f"more than {_LANES} processes run tests")
