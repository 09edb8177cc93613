"""`gateway worker`: one of several processes that serve. Started by `gateway parent`."""

import argparse
import asyncio
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from socket import socket

from gateway.app import Gateway
from gateway.commands.starting import Tell, event_loop, hear_libraries, print_mistakes, see_to_descriptors, told_why_not
from gateway.config.load import Loaded, load_config
from gateway.config.mistakes import ConfigMistakes
from gateway.telemetry.log import Log
from gateway.workers.beating import serve_for_parent
from gateway.workers.inheritance import Shares, inherited, inherited_shelf, shares
from gateway.workers.places import addresses_of_workers
from gateway.workers.plan import LogStyle


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("worker", help="one of several processes; started by the gateway itself")
    parser.add_argument("config", metavar="CONFIG", type=Path)
    parser.add_argument("--number", type=int, required=True)
    parser.add_argument("--channel", type=int, required=True, metavar="DESCRIPTOR")
    parser.add_argument("--patience", type=float, default=0)
    parser.add_argument("--socket", action="append", default=[], metavar="ADDRESS=DESCRIPTORS")
    parser.add_argument("--shelf", help="what the workers share", metavar="DESCRIPTORS")
    parser.add_argument("--tell", metavar="FORMAT", help="how to log why it cannot start; by default as text")


def run(arguments: argparse.Namespace) -> int:
    """Serve until the parent says so, or is gone, then drain."""
    os.set_inheritable(arguments.channel, False)
    sockets = inherited(arguments.socket)
    tell = _tell(arguments)
    try:
        loaded = load_config(arguments.config, os.environ)
    except ConfigMistakes as mistakes:
        tell([str(mistake) for mistake in mistakes.mistakes])
        return 1
    with told_why_not(loaded, tell) as outcome, asyncio.Runner(loop_factory=event_loop) as runner:
        ours = shares(sockets, addresses_of_workers(loaded.config), arguments.number)
        runner.run(_serve(loaded, arguments, ours))
    return outcome.status


def _tell(arguments: argparse.Namespace) -> Tell:
    """Return what tells why this worker cannot start: of one that replaces another, as an event."""
    if arguments.tell is None:
        return print_mistakes
    log = Log(LogStyle(arguments.tell, "error"), worker=arguments.number, is_shared=True)

    def tell(mistakes: Sequence[str]) -> None:
        log.error("config_rejected", file=str(arguments.config), mistakes=list(mistakes))

    return tell


async def _serve(loaded: Loaded, arguments: argparse.Namespace, ours: Shares) -> None:
    file = arguments.config
    gateway = Gateway(
        loaded.config,
        file.parent,
        sockets=ours.own,
        worker=arguments.number,
        patience=arguments.patience,
        file=file,
        shelf=inherited_shelf(arguments.shelf),
        from_environment=loaded.document.from_environment,
    )
    hear_libraries(gateway.log)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # it is for the parent
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, gateway.reload_soon)
    gateway.log.write_in_thread()
    see_to_descriptors(loaded, gateway.log)
    try:
        await serve_for_parent(gateway, socket(fileno=arguments.channel), ours)
    finally:
        gateway.log.close()
