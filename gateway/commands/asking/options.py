"""What the command line says about the gateway to ask: `--config`, or `--admin` with its token and certificates."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from gateway.commands.asking.door import Door, NoDoor, place_named, place_of, tls_context, token_in
from gateway.commands.asking.section import UnreadableFile, read_section
from gateway.config.mistakes import ConfigMistakes

TOKEN_FILE = "GATEWAY_ADMIN_TOKEN_FILE"  # noqa: S105 - the name of a variable


def add_door_options(parser: argparse.ArgumentParser, *, config: bool = True) -> None:
    """Add the options. `config` is False for a command that has a `--config` of its own."""
    if config:
        parser.add_argument(
            "--config",
            type=Path,
            default=Path("config.yaml"),
            metavar="FILE",
            help="the configuration of the gateway: its section admin says where to ask; config.yaml if left out",
        )
    group = parser.add_argument_group("another gateway than that of the configuration")
    group.add_argument(
        "--admin", metavar="URL", help="ask there: http://127.0.0.1:9091, https://… or unix:/run/gateway-admin.sock"
    )
    group.add_argument(
        "--token-file", type=Path, metavar="FILE", help=f"holds the admin token; ${TOKEN_FILE} if left out"
    )
    group.add_argument("--cert", type=Path, metavar="FILE", help="a client certificate, in PEM")
    group.add_argument("--key", type=Path, metavar="FILE", help="its key, if that is in another file")
    group.add_argument("--ca", type=Path, metavar="FILE", help="who vouches for the gateway's certificate, in PEM")


def door_of(arguments: argparse.Namespace) -> Door:
    """Return where to ask. Raises NoDoor."""
    if arguments.key is not None and arguments.cert is None:
        raise NoDoor("--key goes with --cert")
    token_file = arguments.token_file or (Path(named) if (named := os.environ.get(TOKEN_FILE)) else None)
    if arguments.admin is not None:
        place, token = place_named(arguments.admin), None
    else:
        section = _section(arguments.config)
        place = place_of(section, arguments.config)
        may_do_without = token_file is not None or arguments.cert is not None
        token = None if may_do_without else _own_token(section, arguments.config)
    if token_file is not None:
        token = token_in(token_file)
    if token is not None and not place.is_protected:
        print(f"the token goes to {place} without TLS: who listens on the way has it", file=sys.stderr)
    tls = tls_context(arguments.ca, arguments.cert, arguments.key) if place.scheme == "https" else None
    return Door(place, token, tls)


def _section(file: Path) -> dict[str, Any]:
    try:
        section = read_section(file, "admin")
    except (UnreadableFile, ConfigMistakes) as error:
        raise NoDoor(f"{error}\nsay which gateway to ask: --config FILE, or --admin URL") from error
    if section is None:
        raise NoDoor(f"{file} has no section admin: the admin API is off; set admin.token_file, or say --admin URL")
    return section


def _own_token(section: dict[str, Any], file: Path) -> str | None:
    """Return the first token of the configuration that may be read here; None where it has none."""
    troubles: list[NoDoor] = []
    read = section.get("read")
    for place in (section, read if isinstance(read, dict) else {}):
        if isinstance(name := place.get("token_file"), str):
            try:
                return token_in(file.absolute().parent / name)
            except NoDoor as trouble:
                troubles.append(trouble)
    if troubles:
        raise NoDoor(f"{troubles[0]}\nsay where the token is: --token-file FILE")
    return None
