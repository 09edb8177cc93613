"""`python -m bench.twins PORT CONFIG CONFIG`: two gateways that know nothing of each other, on one port.

It is what two workers are, without anything that makes them one gateway: the kernel spreads connections over the two
listening sockets, and each gateway is given one of them, as systemd would do it (sd_listen_fds(3)).
"""

import os
import socket
import sys
from typing import NoReturn

_BACKLOG = 1024
_FIRST_PASSED = 3


def main() -> None:
    """Start them, and wait until both have ended."""
    port, *files = sys.argv[1:]
    sockets = [_bound(int(port)) for _ in files]
    for sock in sockets:
        sock.listen(_BACKLOG)
    for sock, file in zip(sockets, files, strict=True):
        if os.fork() == 0:
            _become_gateway(sock, file)
    for sock in sockets:
        sock.close()
    for _ in files:
        os.wait()


def _bound(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("127.0.0.1", port))
    return sock


def _become_gateway(sock: socket.socket, file: str) -> NoReturn:
    descriptor = os.dup(sock.fileno())  # dup2 onto itself would leave it to be closed by exec
    os.dup2(descriptor, _FIRST_PASSED)
    os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
    os.execv(sys.executable, [sys.executable, "-m", "gateway", "serve", file])


if __name__ == "__main__":
    main()
