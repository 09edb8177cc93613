"""`gateway demo`: from nothing to a running gateway, with lines to paste."""

import argparse
import asyncio
import contextlib
import os
import shlex
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.app import Gateway
from gateway.commands.serve import event_loop
from gateway.commands.trying.files import AUDIENCE, ISSUER, JWKS, prepare
from gateway.commands.trying.upstream import serve_sample_upstream
from gateway.config.compile import CompileMistakes
from gateway.config.load import load_config
from gateway.config.mistakes import ConfigMistakes
from gateway.model.upstream import Address
from gateway.tokens.signing import UnusableKey

_HOST = "127.0.0.1"
_OPS_PORT = 9090
_PORTS_TRIED = 100


@dataclass(frozen=True, slots=True)
class Demo:
    """Where everything is."""

    config: Path
    directory: Path
    gateway: Address
    ops: Address

    def environment(self, upstream: Address) -> Mapping[str, str]:
        """Return the variables of the configuration."""
        return {
            "GATEWAY_LISTEN": str(self.gateway),
            "GATEWAY_OPS": str(self.ops),
            "GATEWAY_UPSTREAM": f"http://{upstream}",
            "GATEWAY_ISSUER": ISSUER,
            "GATEWAY_AUDIENCE": AUDIENCE,
            "GATEWAY_DISCOVERY": "false",
            "GATEWAY_JWKS_FILE": str((self.directory / JWKS).resolve()),
            "GATEWAY_LOG_FORMAT": "text",
        }


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "demo",
        help="run a gateway with a sample upstream, to try it out",
        description="Run a gateway with a sample upstream and keys made on the spot, and print what to try.",
    )
    parser.add_argument("--port", type=int, default=8080, help="8080, or the next free one")
    parser.add_argument("--directory", type=Path, default=Path(".demo"), help="for keys and tokens; .demo if left out")


def run(arguments: argparse.Namespace) -> int:
    """Run until Ctrl-C. Exit status 1 if a file, a key, the configuration or an address cannot be used."""
    try:
        demo = _demo(arguments.port, arguments.directory)
        with asyncio.Runner(loop_factory=event_loop) as runner:
            runner.run(_run(demo))
    except KeyboardInterrupt:
        return 0
    except (ConfigMistakes, CompileMistakes, UnusableKey, OSError) as error:
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
    ops = _free_port(_OPS_PORT, besides=gateway)
    return Demo(config_file(), directory, Address(_HOST, gateway), Address(_HOST, ops))


def _free_port(first: int, besides: int | None = None) -> int:
    """Return the first free port from `first` on; any for 0. Raises OSError."""
    for port in range(first, min(first + _PORTS_TRIED, 65536)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((_HOST, port))
            if port != besides:
                return int(probe.getsockname()[1])
    raise OSError(f"no free port from {first} on")


async def _run(demo: Demo) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    upstream, address = await serve_sample_upstream()
    try:
        environment = demo.environment(address)
        prepare(demo.directory, environment, int(time.time()))
        loaded = load_config(demo.config, {**os.environ, **environment})
        async with Gateway(loaded.config, demo.config.parent):
            print("\n".join(_to_try(demo)), flush=True)
            await stop.wait()
    finally:
        await upstream.cleanup()


def _to_try(demo: Demo) -> Iterator[str]:
    orders, directory = f"http://{demo.gateway}/api/orders", shlex.quote(str(demo.directory))
    yield f"""
The gateway listens on http://{demo.gateway}, before a sample upstream that answers with what it gets.
Its configuration is {_near(demo.config)}; keys and tokens are in {demo.directory}.
Paste these lines into another terminal, in the same directory:

200: Alice may read. The upstream learns who she is, and never sees the forged X-User.
  curl -i -H "X-User: root" -H "Authorization: Bearer $(cat {directory}/alice.token)" {orders}

401: no token
  curl -i {orders}

401: an expired token
  curl -i -H "Authorization: Bearer $(cat {directory}/expired.token)" {orders}

403: Bob may read, but not write.
  curl -i -X POST -H "Authorization: Bearer $(cat {directory}/bob.token)" {orders}

200: health and metrics, on an address of their own
  curl -i http://{demo.ops}/readyz
  curl -i http://{demo.ops}/metrics

Why was that refused?
  (. {_sourced(directory)}/environment; {_program()} explain --config {shlex.quote(_near(demo.config))} \
--url {orders} --token - < {directory}/expired.token)

Ctrl-C stops it.
"""


def _near(file: Path) -> str:
    """Return a file's name as short as it can be written from here."""
    with contextlib.suppress(ValueError):
        return str(file.relative_to(Path.cwd()))
    return str(file)


def _sourced(directory: str) -> str:
    """Return a path that the shell does not look for in PATH."""
    return directory if "/" in directory else f"./{directory}"


def _program() -> str:
    """Return what another shell in this directory calls this program: no virtual environment needs to be active."""
    program = Path(sys.argv[0])
    if program.name == "__main__.py":
        return f"{shlex.quote(_near(Path(sys.executable)))} -m gateway"
    is_everywhere = sys.prefix == sys.base_prefix and shutil.which(program.name) is not None
    return program.name if is_everywhere else shlex.quote(_near(program))
