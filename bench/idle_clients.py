"""`python -m bench.idle_clients`: opens connections, gets one answer on each, and holds them until its input ends."""

import argparse
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Final

from bench.processes import ROOT, BenchError, pinned_to

_SPARE: Final = 100


@contextmanager
def holding(connections: int, port: int, tokens: Path, core: int) -> Iterator[None]:
    """Let a process on this core hold so many connections."""
    options = ["--connections", connections, "--port", port, "--tokens", tokens]
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.idle_clients", *map(str, options)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=pinned_to({core}),
    )
    try:
        assert process.stdout is not None
        if (said := process.stdout.readline()) != "ready\n":
            raise BenchError(f"{connections:,} connections could not be held: {(said + process.stdout.read())[-200:]}")
        yield
    finally:
        process.kill()
        process.communicate()


def main() -> None:
    """Hold them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--tokens", type=Path, required=True)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < options.connections + _SPARE:
        sys.exit(f"this system allows {most} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    tokens = enumerate(options.tokens.read_text().split())
    held = [_answered(options.port, *one) for one in islice(cycle(tokens), options.connections)]
    print("ready", flush=True)
    sys.stdin.read()
    del held


def _answered(port: int, number: int, token: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    head = f"GET /orders/{number:06d} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n"
    connection.sendall(head.encode())
    if not connection.recv(65536).startswith(b"HTTP/1.1 200"):
        sys.exit("a request was not answered with 200")
    return connection


if __name__ == "__main__":
    main()
