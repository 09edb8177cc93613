"""Ports for servers that tests start."""

import random
import socket

_CHOICE = random.SystemRandom()  # not the one that tests seed


def free_port() -> int:
    """Return a port that is free, and below those that connections are given: nobody else takes it meanwhile."""
    while True:
        port = _CHOICE.randrange(18_000, 32_000)
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
