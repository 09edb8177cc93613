"""`gateway explain`: why is this request allowed, or refused?"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from gateway.commands.asking.client import AdminClient, NoAnswer, NotLetIn, NotThere
from gateway.commands.asking.decision import as_text as recalled_text
from gateway.commands.asking.door import Door, NoDoor
from gateway.commands.asking.options import add_door_options, door_of
from gateway.commands.asking.sessions import segment
from gateway.commands.showing.terminal import encodable, encoding_of
from gateway.config.compile import CompileMistakes, compile_config
from gateway.config.load import load_config
from gateway.config.mistakes import ConfigMistakes
from gateway.config.schema import Config
from gateway.engine.question import Question, asked, header, peer_address, url_parts
from gateway.insight.explaining.asking import answered
from gateway.insight.explaining.steps import StepResult
from gateway.insight.explaining.text import FANCY_MARKS, PLAIN_MARKS, as_json, as_text
from gateway.insight.explaining.way import Explanation
from gateway.mechanisms.base import FetchFailed, Resources
from gateway.model.decision import Deny
from gateway.model.request import Header

T = TypeVar("T")


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "explain",
        help="say step by step why a request is allowed or refused",
        description="Say step by step why a request is allowed (exit status 0) or refused (1). "
        "The token is never printed. Limits on the size of requests are not looked at. With --request-id, a running "
        "gateway is asked what it decided.",
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--url", type=_checked(url_parts), help="what is requested: https://host/path")
    which.add_argument("--request-id", metavar="ID", help="a request that was answered: its X-Request-ID")
    parser.add_argument("--method", type=str.upper, help="GET if left out")
    parser.add_argument("--token", help="sent as Authorization: Bearer; - reads it from standard input")
    parser.add_argument(
        "--header", type=_checked(_header), action="append", default=[], metavar="'NAME: VALUE'", help="may be repeated"
    )
    parser.add_argument(
        "--peer", type=_checked(peer_address), metavar="IP", help="who connects, or unix; 127.0.0.1 if left out"
    )
    parser.add_argument("--at", type=float, metavar="UNIX_SECONDS", help="the time to decide at; now if left out")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--offline", action="store_true", help="fetch no keys")
    add_door_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Exit status 0 for a request that is allowed, 1 for one that is refused, 2 if nobody can say."""
    if arguments.request_id is not None:
        return _recall(arguments)
    question = _question(arguments)
    try:
        loaded = load_config(arguments.config, os.environ)
        found = asyncio.run(explanation(loaded.config, arguments.config.absolute().parent, question))
    except ConfigMistakes as mistakes:
        print(mistakes, file=sys.stderr)
        return 2
    except CompileMistakes as error:
        print(loaded.mistakes(error), file=sys.stderr)
        return 2
    if arguments.json:
        text = json.dumps(as_json(found, question.without_secrets), indent=2)
    else:
        text = question.without_secrets(as_text(found, _marks()))
    print(encodable(text, sys.stdout))
    return 1 if isinstance(found.verdict, Deny) else 0


async def explanation(config: Config, directory: Path, question: Question) -> Explanation:
    """Return the explanation. Keys are fetched if need be. Raises CompileMistakes."""
    notices: list[tuple[str, dict[str, Any]]] = []
    control = config.fetch.client(directory)
    fetch = _no_fetch if question.offline else control.fetch
    resources = Resources(directory, fetch, lambda: question.at, lambda event, fields: notices.append((event, fields)))
    try:
        return await answered(compile_config(config, resources), question, notices)
    finally:
        await control.close()


async def _no_fetch(url: str, max_bytes: int) -> bytes:
    raise FetchFailed("not fetched, because of --offline")


def _question(arguments: argparse.Namespace) -> Question:
    token = None if arguments.token is None else _argument_or_input(arguments.token)
    at = int(time.time()) if arguments.at is None else arguments.at
    method, peer = arguments.method or "GET", arguments.peer or "127.0.0.1"
    return asked(method, arguments.url, arguments.header, token, peer, at, offline=arguments.offline)


def _recall(arguments: argparse.Namespace) -> int:
    """Say what a running gateway decided about a request."""
    of_url = ("method", "token", "header", "peer", "at", "offline")
    if given := [f"--{name}" for name in of_url if getattr(arguments, name) not in (None, [], False)]:
        print(f"{', '.join(given)}: only with --url", file=sys.stderr)
        return 2
    try:
        answer = asyncio.run(_recalled(door_of(arguments), arguments.request_id))
    except NotThere:
        print(
            "no decision about this request is kept: a gateway keeps the latest refusals, and a sample of what passes",
            file=sys.stderr,
        )
        return 2
    except (NoDoor, NoAnswer, NotLetIn) as trouble:
        print(trouble, file=sys.stderr)
        return 2
    text = json.dumps(answer, indent=2) if arguments.json else recalled_text(answer, time.time())
    print(encodable(text, sys.stdout))
    return 0 if answer["decision"]["outcome"] == "allow" else 1


async def _recalled(door: Door, request_id: str) -> Any:
    async with AdminClient(door) as client:
        return await client.ask(f"/decisions/{segment(request_id)}")


def _argument_or_input(text: str) -> str:
    return sys.stdin.read() if text == "-" else text


# argparse repeats a bad value in its message, unless the error is an ArgumentTypeError. A header may hold a token.


def _checked(read: Callable[[str], T]) -> Callable[[str], T]:
    def checked(text: str) -> T:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return checked


def _header(text: str) -> Header:
    name, colon, value = text.partition(":")
    if not colon:
        raise ValueError("must be 'Name: value', on one line")
    return header(name, value)


def _marks() -> Mapping[StepResult, str]:
    return FANCY_MARKS if sys.stdout.isatty() and encoding_of(sys.stdout) == "utf-8" else PLAIN_MARKS
