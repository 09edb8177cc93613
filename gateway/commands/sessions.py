"""`gateway sessions list|end`: who is logged in, and ending it.

Asks the store itself, and gateways hear by the feed; with `--admin`, asks a gateway.
"""

import argparse
import asyncio
import getpass
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.admin.session_handlers import shown
from gateway.commands.asking.client import AdminClient, NoAnswer, NotLetIn
from gateway.commands.asking.door import Door, NoDoor
from gateway.commands.asking.options import add_door_options, door_of
from gateway.commands.asking.sessions import end_session, end_sessions, sessions_of
from gateway.commands.showing.table import table
from gateway.commands.showing.terminal import encodable, width_of
from gateway.config.compile import CompileMistakes, compile_config
from gateway.config.load import Loaded, load_config
from gateway.config.mistakes import ConfigMistakes, printable
from gateway.engine.sessions import SessionService
from gateway.mechanisms.base import offline_resources
from gateway.model.errors import StoreUnavailable
from gateway.model.moments import moment
from gateway.model.session import EndReason
from gateway.state.base import BadStore
from gateway.state.opening import StateSettings, open_state
from gateway.telemetry.audit import AuditLog, Outlet
from gateway.telemetry.log import Log
from gateway.telemetry.log_settings import LogSettings

_HEADER = ("SESSION", "CLIENT", "DEVICE", "ADDRESS", "SINCE", "LAST USED")


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "sessions",
        help="list sessions and end them",
        description="List the sessions of a subject, or end one, all of a subject, or all of one device.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="list the sessions of a subject")
    listing.add_argument("--subject", required=True, help="whose sessions")
    ending = actions.add_parser("end", help="end sessions: their tokens stop working everywhere")
    which = ending.add_mutually_exclusive_group(required=True)
    which.add_argument("--subject", help="whose sessions")
    which.add_argument("--session", help="the id of one session")
    for action in (listing, ending):
        action.add_argument("--device", help="only those of this device")
        action.add_argument(
            "--config", type=Path, default=Path("config.yaml"), help="whose store; config.yaml if left out"
        )
        action.add_argument("--json", action="store_true", help="print JSON")
        add_door_options(action, config=False)


def run(arguments: argparse.Namespace) -> int:
    """Exit status 1 if the configuration or the store cannot be used, or there is nothing to end."""
    if arguments.device is not None and arguments.subject is None:
        print("--device goes with --subject", file=sys.stderr)
        return 2
    if arguments.admin is None and any((arguments.token_file, arguments.cert, arguments.key, arguments.ca)):
        print("--token-file, --cert, --key and --ca go with --admin", file=sys.stderr)
        return 2
    try:
        return asyncio.run(_run(arguments) if arguments.admin is None else _run_there(arguments, door_of(arguments)))
    except (ConfigMistakes, BadStore, NoDoor, NoAnswer, NotLetIn) as error:
        print(error, file=sys.stderr)
    except StoreUnavailable as error:
        print(f"the store did not answer, so nothing is certain; try again: {error}", file=sys.stderr)
    return 1


async def _run(arguments: argparse.Namespace) -> int:
    loaded = load_config(arguments.config, os.environ)
    if loaded.config.state is None or loaded.config.sessions is None:
        print(f"{arguments.config} has no sessions", file=sys.stderr)
        return 1
    async with _service(loaded, loaded.config.state, arguments.config.absolute().parent) as service:
        if arguments.action == "list":
            return await _list(arguments, service)
        return await _end(arguments, service, loaded.config.log)


@asynccontextmanager
async def _service(loaded: Loaded, settings: StateSettings, directory: Path) -> AsyncIterator[SessionService]:
    """Open the store, and read what is revoked: it says which sessions are over, whatever their records say."""
    resources = offline_resources(directory)
    resources.state = state = open_state(settings, directory)
    try:
        service = compile_config(loaded.config, resources).sessions
    except CompileMistakes as error:
        raise loaded.mistakes(error) from error
    assert service is not None
    try:
        await state.store.open()
        state.view.add((await state.feed.snapshot()).revocations)
        yield service
    finally:
        await state.store.close()


async def _list(arguments: argparse.Namespace, service: SessionService) -> int:
    _print_list(arguments, [shown(each) for each in await service.sessions_of(arguments.subject, arguments.device)])
    return 0


def _print_list(arguments: argparse.Namespace, sessions: list[dict[str, Any]]) -> None:
    if arguments.json:
        print(json.dumps(sessions, indent=2))
        return
    listed = table(_HEADER, [_row(session) for session in sessions], width_of(sys.stdout))
    print(encodable(listed, sys.stdout) if sessions else "no sessions")


def _row(session: dict[str, Any]) -> tuple[str, ...]:
    """Return the cells. Control characters that a device brings do nothing to the terminal."""
    cells = (session["id"], session["client_id"], session["device"] or "-", session["address"] or "-")
    return (*map(printable, cells), moment(session["created_at"]), moment(session["last_used_at"]))


async def _end(arguments: argparse.Namespace, service: SessionService, settings: LogSettings) -> int:
    """End what was chosen. It is noted on standard error and in the audit log, as the admin API does it."""
    audit = _audit_log(settings, arguments.config.absolute().parent)
    if arguments.session is not None:
        number = int(await service.end(arguments.session, EndReason.ADMIN))
    elif arguments.device is None:
        number = await service.end_subject(arguments.subject, EndReason.ADMIN)
    else:
        number = await service.end_device(arguments.subject, arguments.device, EndReason.ADMIN)
    target = {name: getattr(arguments, name) for name in ("subject", "session", "device") if getattr(arguments, name)}
    change = {"actor": f"command line:{_user()}", "action": "end_sessions", **target, "ended": number}
    Log(settings).warning("admin_change", **change)
    audit.write("admin_change", **change, confirmed=True)
    audit.close()
    return _print_number(arguments, number)


def _print_number(arguments: argparse.Namespace, number: int) -> int:
    print(json.dumps({"ended": number}) if arguments.json else f"{number} ended")
    return 0 if number else 1


async def _run_there(arguments: argparse.Namespace, door: Door) -> int:
    """Do it through the admin API. The gateway notes it in its own audit log."""
    async with AdminClient(door) as client:
        if arguments.action == "list":
            _print_list(arguments, await sessions_of(client, arguments.subject, arguments.device))
            return 0
        if arguments.session is not None:
            return _print_number(arguments, await end_session(client, arguments.session))
        return _print_number(arguments, await end_sessions(client, arguments.subject, arguments.device))


def _audit_log(settings: LogSettings, directory: Path) -> AuditLog:
    """Return the audit log. Who may not write to it can end sessions all the same, and is told."""
    try:
        return AuditLog(Outlet.opened(settings.audit, directory))
    except OSError as error:
        print(f"not in the audit log: cannot write to {settings.audit}: {error.strerror}", file=sys.stderr)
        return AuditLog()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's number without a name
        return str(os.getuid())
