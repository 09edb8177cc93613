"""Binds every address for several workers.

A TCP address gets one socket for each worker (`SO_REUSEPORT`): the kernel spreads connections over them, and a worker
that is slow or gone holds up nobody but its own. A Unix socket, a socket that was passed, and the admin address are
shared by all workers. Elsewhere than on Linux all are: the kernel does not spread connections there.
"""

import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from dataclasses import replace as replaced

from gateway.config.schema import Config
from gateway.model.upstream import Address
from gateway.proxy.listener import BACKLOG, bound_socket, listening_socket
from gateway.workers.plan import Plan

_SPREADS = sys.platform == "linux"


@dataclass
class Places:
    """The sockets of all workers, and that of the parent."""

    slots: list[dict[Address, socket.socket]]
    ours: list[socket.socket] = field(default_factory=list)
    ops: dict[Address, socket.socket] = field(default_factory=dict)

    def plan(self, config_file: str, config: Config) -> Plan:
        return Plan(
            config_file,
            tuple(str(listener.address) for listener in config.listen),
            tuple({str(address): sock.fileno() for address, sock in slot.items()} for slot in self.slots),
            tuple(sock.fileno() for sock in self.ours),
            {str(address): sock.fileno() for address, sock in self.ops.items()},
            config.log.format,
            config.log.level,
        )


def addresses(config: Config) -> list[Address]:
    """Return every address of the configuration."""
    return [*addresses_of_workers(config), *([] if config.ops is None else [config.ops.address])]


def addresses_of_workers(config: Config) -> list[Address]:
    """Return those that workers serve."""
    admin = [] if config.admin is None else [config.admin.address]
    return [*(listener.address for listener in config.listen), *admin]


def bind_places(config: Config, workers: int, passed: Mapping[Address, socket.socket]) -> Places:
    """Bind all addresses but those that are `passed`. Raises OSError."""
    places = Places([{} for _ in range(workers)])
    for listener in config.listen:
        _bind(places, listener.address, passed, spreads=_SPREADS and not listener.address.path)
    if config.admin is not None:
        _bind(places, config.admin.address, passed, spreads=False)
    if config.ops is not None:
        address = config.ops.address
        places.ops[address] = passed[address] if address in passed else listening_socket(address)
    return places


def _bind(places: Places, address: Address, passed: Mapping[Address, socket.socket], *, spreads: bool) -> None:
    if address in passed:
        sockets = [passed[address]]
    else:
        sockets = [listening_socket(address, shares_port=spreads)]
        if spreads:
            same = replaced(address, port=sockets[0].getsockname()[1])
            sockets += [bound_socket(same, beside_others=True) for _ in places.slots[1:]]
        for sock in sockets[1:]:
            sock.listen(BACKLOG)
        places.ours += sockets
    for number, slot in enumerate(places.slots):
        slot[address] = sockets[number % len(sockets)]
