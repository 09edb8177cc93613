"""`gateway sessions list|end`: who is logged in, and ending it. Asks the store itself; gateways hear of it by the feed."""

import argparse
import asyncio
import json
import os
import shutil
import sys
from pathlib import Path

from gateway.admin.app import shown
from gateway.commands.showing.moments import moment
from gateway.commands.showing.table import table
from gateway.config.compile import CompileMistakes, compile_config
from gateway.config.load import load_config
from gateway.config.mistakes import ConfigMistakes
from gateway.engine.sessions import SessionService
from gateway.mechanisms.base import offline_resources
from gateway.model.errors import StoreUnavailable
from gateway.model.session import EndReason, Session
from gateway.state.base import BadStore, State
from gateway.state.opening import open_state

_HEADER = ("SESSION", "CLIENT", "DEVICE", "ADDRESS", "SINCE", "LAST USED")


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "sessions",
        help="list sessions and end them",
        description="List the sessions of a subject, or end one, all of a subject, or all of one device.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="list the sessions of a subject")
    ending = actions.add_parser("end", help="end sessions: their tokens stop working everywhere")
    for action in (listing, ending):
        action.add_argument("--config", type=Path, default=Path("config.yaml"), help="config.yaml if left out")
        action.add_argument("--subject", help="whose sessions")
        action.add_argument("--device", help="only those of this device")
        action.add_argument("--json", action="store_true", help="print JSON")
    ending.add_argument("--session", help="the id of one session")


def run(arguments: argparse.Namespace) -> int:
    """Exit status 1 if the configuration or the store cannot be used, or there is nothing to end."""
    if arguments.subject is None and getattr(arguments, "session", None) is None:
        print("whose? give --subject" + (" or --session" if arguments.action == "end" else ""), file=sys.stderr)
        return 2
    try:
        return asyncio.run(_run(arguments))
    except (ConfigMistakes, CompileMistakes, BadStore) as error:
        print(error, file=sys.stderr)
    except StoreUnavailable as error:
        print(f"the store cannot be used: {error}", file=sys.stderr)
    return 1


async def _run(arguments: argparse.Namespace) -> int:
    loaded = load_config(arguments.config, os.environ)
    directory = arguments.config.resolve().parent
    if loaded.config.state is None or loaded.config.sessions is None:
        print(f"{arguments.config} has no sessions", file=sys.stderr)
        return 1
    state = open_state(loaded.config.state, directory)
    try:
        await state.store.open()
        reading = await state.feed.snapshot()
        state.view.add(reading.revocations)
        resources = offline_resources(directory)
        resources.state = state
        service = compile_config(loaded.config, resources).sessions
        assert service is not None
        return await (_list(arguments, service) if arguments.action == "list" else _end(arguments, service))
    finally:
        await _close(state)


async def _close(state: State) -> None:
    await state.store.close()


async def _list(arguments: argparse.Namespace, service: SessionService) -> int:
    sessions = await _chosen(arguments, service)
    if arguments.json:
        print(json.dumps([shown(session) for session in sessions], indent=2))
        return 0
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    print(table(_HEADER, [_row(session) for session in sessions], width) if sessions else "no sessions")
    return 0


def _row(session: Session) -> tuple[str, ...]:
    return (
        session.sid,
        session.client_id,
        session.device or "-",
        session.address or "-",
        moment(session.created_at),
        moment(session.last_used_at),
    )


async def _end(arguments: argparse.Namespace, service: SessionService) -> int:
    if arguments.session is not None:
        number = int(await service.end(arguments.session, EndReason.ADMIN))
    elif arguments.device is None:
        number = await service.end_subject(arguments.subject, EndReason.ADMIN)
    else:
        chosen = await _chosen(arguments, service)
        number = sum([await service.end(session.sid, EndReason.ADMIN) for session in chosen])
    print(json.dumps({"ended": number}) if arguments.json else f"{number} ended")
    return 0 if number else 1


async def _chosen(arguments: argparse.Namespace, service: SessionService) -> list[Session]:
    sessions = await service.sessions_of(arguments.subject)
    return [session for session in sessions if arguments.device is None or session.device == arguments.device]
