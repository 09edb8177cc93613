"""`gateway serve CONFIG`: run until told to stop."""

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from gateway.app import Gateway
from gateway.config.compile import CompileMistakes
from gateway.config.load import load_config
from gateway.config.mistakes import ConfigMistakes
from gateway.mechanisms.base import BadSetting
from gateway.state.base import BadStore


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
    try:
        loaded = load_config(arguments.config, os.environ)
    except ConfigMistakes as mistakes:
        print(mistakes, file=sys.stderr)
        return 1
    try:
        with asyncio.Runner(loop_factory=event_loop) as runner:
            runner.run(_serve(Gateway(loaded.config, arguments.config.resolve().parent)))
    except CompileMistakes as error:
        print(loaded.mistakes(error), file=sys.stderr)
        return 1
    except OSError as error:
        print(f"cannot start: {error.strerror or error}", file=sys.stderr)
        return 1
    except (BadStore, BadSetting) as error:
        print(f"cannot start: {error}", file=sys.stderr)
        return 1
    return 0


def event_loop() -> asyncio.AbstractEventLoop:
    """Return a uvloop where there is one, and asyncio's own elsewhere."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


async def _serve(gateway: Gateway) -> None:
    for library in ("aiohttp", "asyncio"):
        logging.getLogger(library).addHandler(gateway.log.handler)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with gateway:
        await stop.wait()
