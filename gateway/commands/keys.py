"""`gateway keys`: the keys that the gateway signs its own tokens with."""

import argparse
import json
import shutil
import sys
import time
from dataclasses import asdict
from pathlib import Path

from gateway.commands.arguments import duration
from gateway.commands.keeping.files import create_file, replacing
from gateway.commands.keeping.key_set import (
    OWN_ALGORITHMS,
    KeyState,
    Use,
    new_document,
    states,
    with_next_key,
    without_old_keys,
)
from gateway.commands.showing.table import table
from gateway.model.moments import distance, moment
from gateway.tokens.own_keys import BadKeyring

LEAST_AHEAD = 2 * 300
"""Seconds: twice the time for which others may keep the published keys (`LIFETIME` in `endpoints/metadata.py`)."""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("keys", help="make and rotate the keys of the gateway's own tokens")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    create = actions.add_parser(
        "create", help="make a key file", description="Make a key file. One that exists is not overwritten."
    )
    rotate = actions.add_parser(
        "rotate",
        help="add the next key",
        description="Add the next key. Every gateway that reads the file changes over to it when its time has come; "
        "the one before goes on verifying what it has signed.",
    )
    show = actions.add_parser("list", help="show which keys there are", description="Show which keys there are.")
    prune = actions.add_parser(
        "prune",
        help="remove keys that have served their time",
        description="Remove keys that have not signed for a while. What they have signed is void then: wait as long "
        "as your longest sessions last.",
    )
    for action in (create, rotate, show, prune):
        action.add_argument("file", type=Path, metavar="FILE", help="as in the setting sessions.key_file")
    create.add_argument("--algorithm", choices=OWN_ALGORITHMS, default="EdDSA", help="EdDSA if left out")
    _add_rotate_options(rotate)
    show.add_argument("--json", action="store_true", help="for programs")
    prune.add_argument("--older-than", type=duration, required=True, metavar="DURATION", help="31d, ...")


def _add_rotate_options(rotate: argparse.ArgumentParser) -> None:
    which = rotate.add_mutually_exclusive_group()
    which.add_argument("--algorithm", choices=OWN_ALGORITHMS, help="that of the key in use, if left out")
    which.add_argument("--refresh", action="store_true", help="the key of refresh tokens, not that of access tokens")
    rotate.add_argument(
        "--if-older-than",
        type=duration,
        metavar="DURATION",
        help="do nothing as long as the newest key is younger: 30d, ...",
    )
    when = rotate.add_mutually_exclusive_group()
    when.add_argument("--ahead", type=duration, default=3600.0, help="when it is first used: in 1h if left out")
    when.add_argument(
        "--now",
        action="store_true",
        help="use it at once, in an emergency: others, and gateways that have not read the file yet, may refuse "
        "tokens for some minutes",
    )


def run(arguments: argparse.Namespace) -> int:
    """Exit status 1 if the file cannot be used or written."""
    actions = {"create": _create, "rotate": _rotate, "list": _list, "prune": _prune}
    try:
        print(actions[arguments.action](arguments))
    except BadKeyring as error:
        print(f"{arguments.file}: the file {error}", file=sys.stderr)
        return 1
    except _Refused as error:
        print(error, file=sys.stderr)
        return 1
    except FileExistsError:
        print(f"{arguments.file} exists and is not overwritten; add a key with gateway keys rotate", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{arguments.file}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


class _Refused(Exception):
    """What was asked for would do harm."""


def _create(arguments: argparse.Namespace) -> str:
    now = int(time.time())
    document = new_document(arguments.algorithm, now)
    create_file(arguments.file, document)
    [access, _] = states(document, now)
    return f"{arguments.file}: a key for access tokens ({access.alg}, kid {access.kid}), and one for refresh tokens"


def _rotate(arguments: argparse.Namespace) -> str:
    if not arguments.now and arguments.ahead < LEAST_AHEAD:
        raise _Refused(
            f"--ahead must be at least {LEAST_AHEAD // 60}m: gateways read the file, and others the published keys, "
            "before a key is used; or write --now"
        )
    now = int(time.time())
    signs_from = now if arguments.now else now + int(arguments.ahead)
    use: Use = "refresh" if arguments.refresh else "sig"
    what = "refresh tokens" if arguments.refresh else "access tokens"
    with replacing(arguments.file) as file:
        newest = max((key for key in states(file.content, now) if key.use == use), key=lambda key: key.signs_from)
        if arguments.if_older_than is not None and newest.signs_from > now - arguments.if_older_than:
            return f"{arguments.file}: the newest key for {what}, {newest.kid}, is still young"
        document, kid = with_next_key(file.content, use, arguments.algorithm, signs_from, now)
        file.write(document)
    when = "now" if arguments.now else f"{moment(signs_from)}, {distance(signs_from, now)}"
    return f"{arguments.file}: the next key for {what} has kid {kid}; it is used from {when} on"


def _list(arguments: argparse.Namespace) -> str:
    now = time.time()
    keys = states(arguments.file.read_bytes(), now)
    if arguments.json:
        return json.dumps([asdict(key) for key in keys], indent=2)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    header = ("KID", "ALG", "USE", "STATE", "SIGNS FROM", "NOT USED SINCE")
    return table(header, [_row(key) for key in keys], width)


def _row(key: KeyState) -> tuple[str, ...]:
    unused = "-" if key.unused_since is None else moment(key.unused_since)
    return key.kid, key.alg, key.use, key.state, moment(key.signs_from), unused


def _prune(arguments: argparse.Namespace) -> str:
    with replacing(arguments.file) as file:
        document, old = without_old_keys(file.content, arguments.older_than, time.time())
        if old:
            file.write(document)
    names = ", ".join(f"{key.kid} ({key.use})" for key in old)
    return f"{arguments.file}: {f'removed {names}' if old else 'there is nothing to remove'}"
