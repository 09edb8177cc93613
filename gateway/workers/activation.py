"""Sockets that the process was given by whoever started it, as systemd does (sd_listen_fds(3))."""

import os
import socket
from collections.abc import Iterable, Mapping, MutableMapping

from gateway.model.upstream import Address
from gateway.proxy.listener import resolved

_FIRST = 3
"""SD_LISTEN_FDS_START."""


class StrangeSocket(Exception):
    """A socket was passed that the configuration has no use for."""


def passed_sockets(environment: MutableMapping[str, str]) -> dict[str, socket.socket]:
    """Return the sockets that were passed to this process, by what they are called. No child will see them.

    Raises StrangeSocket for what does not listen for connections.
    """
    pid, count = environment.pop("LISTEN_PID", ""), environment.pop("LISTEN_FDS", "")
    names = environment.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()) or not count.isdecimal():
        return {}
    found: dict[str, socket.socket] = {}
    for place in range(int(count)):
        name = names[place] if place < len(names) and names[place] else "unknown"
        called = f"descriptor {_FIRST + place} ({name})"
        found[called] = _adopt(_FIRST + place, called)
    return found


def _adopt(descriptor: int, called: str) -> socket.socket:
    try:
        os.set_inheritable(descriptor, False)
        sock = socket.socket(fileno=descriptor)
    except OSError as error:
        raise StrangeSocket(f"{called} was passed and is no socket: {error.strerror}") from error
    if sock.type != socket.SOCK_STREAM or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        sock.detach()  # not ours to close
        raise StrangeSocket(f"{called} was passed and does not listen for connections; use ListenStream and Accept=no")
    sock.setblocking(False)
    return sock


def matched(passed: Mapping[str, socket.socket], addresses: Iterable[Address]) -> dict[Address, socket.socket]:
    """Return the passed socket of each address that has one. Raises StrangeSocket for one that no address names."""
    wanted = list(addresses)
    found: dict[Address, socket.socket] = {}
    for called, sock in passed.items():
        bound = sock.getsockname()
        address = next((each for each in wanted if each not in found and _is_bound_to(each, sock, bound)), None)
        if address is None:
            names = ", ".join(map(str, wanted))
            raise StrangeSocket(
                f"{called} was passed, bound to {_shown(bound)}: no address of the configuration ({names})"
            )
        found[address] = sock
    return found


def _is_bound_to(address: Address, sock: socket.socket, bound: object) -> bool:
    if address.path or sock.family == socket.AF_UNIX:
        return bool(address.path) and bound == address.path
    try:
        family, target = resolved(address)
    except OSError:
        return False
    return isinstance(bound, tuple) and family == sock.family and target == (bound[0], bound[1])


def _shown(bound: object) -> str:
    if isinstance(bound, tuple):
        return str(Address(host=str(bound[0]), port=int(bound[1])))
    return f"unix:{bound}" if isinstance(bound, str) else repr(bound)
