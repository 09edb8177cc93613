"""`gateway worker`: one of several processes that serve. Started by `gateway parent`."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from socket import socket

from gateway.app import Gateway
from gateway.commands.starting import event_loop, hear_libraries, see_to_descriptors, told_why_not
from gateway.config.load import Loaded, load_config
from gateway.config.mistakes import ConfigMistakes
from gateway.model.upstream import Address
from gateway.workers.activation import StrangeSocket
from gateway.workers.beating import serve_for_parent
from gateway.workers.places import addresses_of_workers
from gateway.workers.plan import adopted


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("worker", help="one of several processes; started by the gateway itself")
    parser.add_argument("config", metavar="CONFIG", type=Path)
    parser.add_argument("--number", type=int, required=True)
    parser.add_argument("--channel", type=int, required=True, metavar="DESCRIPTOR")
    parser.add_argument("--patience", type=float, default=0)
    parser.add_argument("--socket", action="append", default=[], metavar="ADDRESS=DESCRIPTOR")


def run(arguments: argparse.Namespace) -> int:
    """Serve until the parent says so, or is gone, then drain."""
    os.set_inheritable(arguments.channel, False)
    sockets = adopted(arguments.socket)
    try:
        loaded = load_config(arguments.config, os.environ)
    except ConfigMistakes as mistakes:
        print(mistakes, file=sys.stderr)
        return 1
    with told_why_not(loaded) as outcome, asyncio.Runner(loop_factory=event_loop) as runner:
        runner.run(_serve(loaded, arguments, _by_address(loaded, sockets)))
    return outcome.status


def _by_address(loaded: Loaded, sockets: Mapping[str, socket]) -> dict[Address, socket]:
    """Return the socket of every address. Raises StrangeSocket where the configuration has changed meanwhile."""
    wanted = {str(address): address for address in addresses_of_workers(loaded.config)}
    if changed := wanted.keys() ^ sockets.keys():
        raise StrangeSocket(f"addresses are changed by a restart of all: {', '.join(sorted(changed))}")
    return {address: sockets[name] for name, address in wanted.items()}


async def _serve(loaded: Loaded, arguments: argparse.Namespace, sockets: Mapping[Address, socket]) -> None:
    file = arguments.config
    gateway = Gateway(
        loaded.config,
        file.parent,
        sockets=sockets,
        worker=arguments.number,
        patience=arguments.patience,
        file=file,
    )
    hear_libraries(gateway.log)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # it is for the parent
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, gateway.reload_soon)
    gateway.log.write_in_thread()
    see_to_descriptors(loaded, gateway.log)
    try:
        await serve_for_parent(gateway, socket(fileno=arguments.channel), sockets.values())
    finally:
        gateway.log.close()
