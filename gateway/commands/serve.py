"""`gateway serve CONFIG`: run until told to stop."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from socket import socket

from gateway.app import Gateway
from gateway.commands.starting import (
    event_loop,
    fill_standard_streams,
    hear_libraries,
    see_to_descriptors,
    told_why_not,
)
from gateway.config.load import Loaded, load_config
from gateway.config.mistakes import ConfigMistakes
from gateway.model.upstream import Address
from gateway.workers.activation import matched, passed_sockets
from gateway.workers.cpus import usable_cpus
from gateway.workers.descriptors import raise_limit
from gateway.workers.garbage import started
from gateway.workers.holding import let_through
from gateway.workers.places import addresses, bind_places
from gateway.workers.plan import become_parent
from gateway.workers.signals import stopped_by_signals


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "serve",
        help="run the gateway",
        description="Run the gateway until SIGTERM or Ctrl-C, then let requests in flight finish.",
    )
    parser.add_argument("config", metavar="CONFIG", type=Path, help="the configuration file")


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT, then drain. Exit status 1 for a configuration with mistakes, a store that must
    not be used, or a taken address."""
    fill_standard_streams()
    try:
        loaded = load_config(arguments.config, os.environ)
    except ConfigMistakes as mistakes:
        print(mistakes, file=sys.stderr)
        return 1
    with told_why_not(loaded) as outcome:
        _start(loaded, arguments.config.absolute())  # not resolved: the links may lead elsewhere tomorrow
    return outcome.status


def _start(loaded: Loaded, file: Path) -> None:
    config = loaded.config
    sockets = matched(passed_sockets(os.environ), addresses(config))
    if config.workers == 1:
        with asyncio.Runner(loop_factory=event_loop) as runner:
            runner.run(_serve_alone(loaded, file, sockets))
        return
    workers = usable_cpus() if config.workers == "auto" else config.workers
    raise_limit()  # of the parent, too
    places = bind_places(config, workers, sockets)  # holds the sockets until then
    become_parent(places.plan(str(file), config))


async def _serve_alone(loaded: Loaded, file: Path, sockets: Mapping[Address, socket]) -> None:
    gateway = Gateway(
        loaded.config,
        file.parent,
        sockets=sockets,
        file=file,
        from_environment=loaded.document.from_environment,
    )
    hear_libraries(gateway.log)
    stop = stopped_by_signals(gateway.haste)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, gateway.reload_soon)
    loop.add_signal_handler(signal.SIGUSR2, gateway.log.warning, "rolling_restart_refused")
    let_through()
    gateway.log.write_in_thread()
    see_to_descriptors(loaded, gateway.log)
    try:
        async with gateway:
            started()
            await stop.wait()
    finally:
        gateway.log.close()
