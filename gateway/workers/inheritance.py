"""What a worker is given: its own listening sockets, those of the others, to stand in for them, and the shelf."""

import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.model.upstream import Address
from gateway.state.shelf import Shelf
from gateway.workers.activation import StrangeSocket

Inherited = dict[str, list[socket.socket]]
"""By address, one for each slot, in order; or the one that all share."""


@dataclass(frozen=True, slots=True)
class Shares:
    """What is whose."""

    own: dict[Address, socket.socket]
    others: dict[int, dict[Address, socket.socket]]
    """By the number of the other worker. What all share is not in it."""

    def all(self) -> list[socket.socket]:
        return [sock for sockets in (self.own, *self.others.values()) for sock in sockets.values()]


def inherited(arguments: Iterable[str]) -> Inherited:
    """Return the sockets of such arguments. Raises ValueError, OSError."""
    found = {}
    for argument in arguments:
        address, _, descriptors = argument.rpartition("=")
        found[address] = [_inherited(int(each)) for each in descriptors.split(",")]
    return found


def _inherited(descriptor: int) -> socket.socket:
    os.set_inheritable(descriptor, False)
    sock = socket.socket(fileno=descriptor)
    sock.setblocking(False)  # else a copy of it would wait in `accept`, and so would those of all other processes
    return sock


def inherited_shelf(argument: str | None) -> Shelf | None:
    """Return the shelf of such an argument. Raises ValueError, OSError."""
    if argument is None:
        return None
    descriptors = [int(each) for each in argument.split(",")]
    for each in descriptors:
        os.set_inheritable(each, False)
    return Shelf(descriptors)


def shares(sockets: Inherited, addresses: Iterable[Address], number: int) -> Shares:
    """Return what is for the worker `number`. Raises StrangeSocket where the configuration names other addresses."""
    wanted = {str(address): address for address in addresses}
    if changed := wanted.keys() ^ sockets.keys():
        raise StrangeSocket(f"addresses are changed by a restart of all: {', '.join(sorted(changed))}")
    found = Shares({}, {})
    for name, each in sockets.items():
        for place, sock in enumerate(each, start=1):
            if place == number or len(each) == 1:
                found.own[wanted[name]] = sock
            else:
                found.others.setdefault(place, {})[wanted[name]] = sock
    return found
