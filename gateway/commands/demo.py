"""`gateway demo`: from nothing to a running gateway, with lines to paste."""

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.app import Gateway
from gateway.commands.starting import event_loop
from gateway.commands.trying.files import (
    ADMIN_TOKEN,
    AUDIENCE,
    ISSUER,
    JWKS,
    KEYS,
    SESSIONS_ISSUER,
    STATE,
    USERS,
    prepare,
)
from gateway.commands.trying.lines import to_try
from gateway.commands.trying.upstream import serve_sample_upstream
from gateway.config.admin import Admin
from gateway.config.compile import CompileMistakes
from gateway.config.load import load_config
from gateway.config.mistakes import ConfigMistakes
from gateway.config.schema import Config
from gateway.mechanisms.base import BadSetting
from gateway.model.upstream import Address
from gateway.state.base import BadStore
from gateway.tokens.signing import UnusableKey

_HOST = "127.0.0.1"
_OPS_PORT = 9090
_ADMIN_PORT = 9091
_PORTS_TRIED = 100


@dataclass(frozen=True, slots=True)
class Demo:
    """Where everything is."""

    config: Path
    directory: Path
    gateway: Address
    ops: Address
    admin: Address
    state: str | None = None
    """The URL of a store, where it is not to be a file in the directory."""

    def environment(self, upstream: Address) -> Mapping[str, str]:
        """Return the variables of the configuration."""
        return {
            "GATEWAY_LISTEN": str(self.gateway),
            "GATEWAY_OPS": str(self.ops),
            "GATEWAY_UPSTREAM": f"http://{upstream}",
            "GATEWAY_ISSUER": ISSUER,
            "GATEWAY_AUDIENCE": AUDIENCE,
            "GATEWAY_DISCOVERY": "false",
            "GATEWAY_JWKS_FILE": self._file(JWKS),
            "GATEWAY_SESSIONS_ISSUER": SESSIONS_ISSUER,
            "GATEWAY_KEY_FILE": self._file(KEYS),
            "GATEWAY_USERS_FILE": self._file(USERS),
            "STATE_URL": self.state or f"sqlite:{self._file(STATE)}",
            "GATEWAY_LOG_FORMAT": "text",
        }

    def administered(self, config: Config) -> Config:
        """Return a configuration with a console, which shows everything."""
        settings = {"address": str(self.admin), "token_file": self._file(ADMIN_TOKEN), "decisions": {"sample": 1}}
        return config.model_copy(update={"admin": Admin.model_validate(settings)})

    def _file(self, name: str) -> str:
        return str((self.directory / name).resolve())


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "demo",
        help="run a gateway with a sample upstream, to try it out",
        description="Run a gateway with a sample upstream, keys and a user made on the spot, and print what to try. "
        "STATE_URL in the environment puts the sessions into Redis.",
    )
    parser.add_argument("--port", type=int, default=8080, help="8080, or the next free one")
    parser.add_argument("--directory", type=Path, default=Path(".demo"), help="for keys and tokens; .demo if left out")


def run(arguments: argparse.Namespace) -> int:
    """Run until Ctrl-C. Exit status 1 if a file, a key, the store, the configuration or an address cannot be used."""
    try:
        demo = _demo(arguments.port, arguments.directory)
        with asyncio.Runner(loop_factory=event_loop) as runner:
            runner.run(_run(demo))
    except KeyboardInterrupt:
        return 0
    except (ConfigMistakes, CompileMistakes, UnusableKey, BadStore, BadSetting, OSError) as error:
        print(f"the demo cannot run: {error}", file=sys.stderr)
        return 1
    return 0


def config_file() -> Path:
    """Return the example configuration: installed beside this module, or at the root of the repository."""
    installed = Path(__file__).with_name("config.yaml")
    return installed if installed.exists() else Path(__file__).parents[2] / "config.yaml"


def _demo(port: int, directory: Path) -> Demo:
    gateway = _free_port(port)
    if port not in (0, gateway):
        print(f"Port {port} is taken, so this is {gateway}.", flush=True)
    ops = _free_port(_OPS_PORT, gateway)
    admin = _free_port(_ADMIN_PORT, gateway, ops)
    state = os.environ.get("STATE_URL") or None
    return Demo(config_file(), directory, Address(_HOST, gateway), Address(_HOST, ops), Address(_HOST, admin), state)


def _free_port(first: int, *besides: int) -> int:
    """Return the first free port from `first` on; any for 0. Raises OSError."""
    for port in range(first, min(first + _PORTS_TRIED, 65536)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((_HOST, port))
            if port not in besides:
                return int(probe.getsockname()[1])
    raise OSError(f"no free port from {first} on")


async def _run(demo: Demo) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    upstream, address = await serve_sample_upstream()
    try:
        environment = demo.environment(address)
        password = prepare(demo.directory, environment, int(time.time()))
        loaded = load_config(demo.config, {**os.environ, **environment})
        async with Gateway(demo.administered(loaded.config), demo.config.parent):
            lines = to_try(demo.config, demo.directory, demo.gateway, demo.ops, demo.admin, password)
            print("\n".join(lines), flush=True)
            await stop.wait()
    finally:
        await upstream.cleanup()
