"""`gateway health`: how a running gateway is, asked at its ops address. For probes without a shell."""

import argparse
import json
import socket
import sys
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final

from gateway.commands.asking.section import REACHED, UnreadableFile, read_section
from gateway.config.mistakes import ConfigMistakes
from gateway.model.upstream import Address, parse_address

_PATHS: Final = {"ready": "/readyz", "live": "/healthz", "started": "/startupz"}
_MOST: Final = 64 * 1024
"""Bytes of an answer that are read: a gateway's is far smaller."""
_LONGEST: Final = 3600


class _Unknown(Exception):
    """Nobody can say how the gateway is."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the ops address said."""

    is_ok: bool
    blocked_by: tuple[str, ...] = ()


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "health",
        help="ask a running gateway how it is",
        description="Ask the ops address of a running gateway. Exit status 1 if it is not so, or nobody answers.",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "config",
        metavar="CONFIG",
        type=Path,
        nargs="?",
        default=Path("config.yaml"),
        help="the configuration file, whose ops.address is asked; config.yaml if left out",
    )
    where.add_argument(
        "--address", type=_address, help="ask there instead: 127.0.0.1:9090, or unix:/run/gateway-ops.sock"
    )
    parser.add_argument(
        "--is", dest="state", choices=tuple(_PATHS), default="ready", help="what to ask; ready if left out"
    )
    parser.add_argument(
        "--timeout", type=_seconds, default=3.0, metavar="SECONDS", help="for the answer; 3 if left out"
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds <= _LONGEST:
        raise argparse.ArgumentTypeError(f"must be a number of seconds, at most {_LONGEST}")
    return seconds


def _address(text: str) -> Address:
    try:
        return parse_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def run(arguments: argparse.Namespace) -> int:
    """Exit status 1 if the gateway is not as asked, or nobody can say."""
    try:
        address = arguments.address or _ops_address(arguments.config)
        answer = ask(address, _PATHS[arguments.state], arguments.timeout)
    except (ConfigMistakes, _Unknown) as error:
        print(error, file=sys.stderr)
        return 1
    if answer.is_ok:
        print(arguments.state)
        return 0
    print(f"not {arguments.state}: {', '.join(answer.blocked_by) or 'it does not say why'}", file=sys.stderr)
    return 1


def _ops_address(file: Path) -> Address:
    """Return where the ops address of a configuration is. Mistakes elsewhere in the file must not end the gateway."""
    try:
        ops = read_section(file, "ops")
    except UnreadableFile as error:
        raise _Unknown(str(error)) from error
    text = None if ops is None else ops.get("address")
    if not isinstance(text, str):
        raise _Unknown(f"{file} has no ops.address to ask; set one, or say --address")
    try:
        return parse_address(text)
    except ValueError as error:
        raise _Unknown(f"{file}: ops.address: {error}") from error


def ask(address: Address, path: str, patience: float) -> Answer:
    """Return what a gateway says about itself. Raises _Unknown if nobody answers, or somebody else."""
    connection = _Connection(address, patience)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        response = connection.getresponse()
        return _read(response.status, response.read(_MOST))
    except (OSError, HTTPException) as error:
        why = "no answer in time" if isinstance(error, TimeoutError) else getattr(error, "strerror", None) or error
        raise _Unknown(f"nobody can say: {address}: {why}") from error
    except ValueError as error:
        raise _Unknown(f"nobody can say: what answers at {address} is not a gateway") from error
    finally:
        connection.close()


def _read(status: int, body: bytes) -> Answer:
    """Return the meaning of an answer. Raises ValueError for one that is no gateway's."""
    report = json.loads(body)
    if status not in (200, 503) or not isinstance(report, dict) or not isinstance(report.get("blocked_by"), list):
        raise ValueError
    return Answer(status == 200, tuple(map(str, report["blocked_by"])))


class _Connection(HTTPConnection):
    """Goes to a TCP address, or to a Unix socket."""

    def __init__(self, address: Address, patience: float) -> None:
        super().__init__(REACHED.get(address.host, address.host) or "localhost", address.port, timeout=patience)
        self._path = address.path

    def connect(self) -> None:
        if not self._path:
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
