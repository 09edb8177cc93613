"""`gateway tail`: what a gateway that runs decides, as it decides."""

import argparse
import asyncio
import json
import os
import sys
from contextlib import aclosing

from gateway.commands.asking.client import AdminClient, NoAnswer, NotLetIn
from gateway.commands.asking.door import Door, NoDoor
from gateway.commands.asking.options import add_door_options, door_of
from gateway.commands.following.follow import follow
from gateway.commands.following.lines import Lines
from gateway.commands.showing.terminal import encodable, paint_for

_FILTERS = ("reason", "route", "subject", "client", "outcome", "request_id")


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "tail",
        help="follow what a running gateway decides",
        description="Follow the decisions of a running gateway: all refusals, and a sample of what passes. "
        "Goes on while the gateway is restarted. Ctrl-C ends it.",
    )
    parser.add_argument("--reason", help="only these: expired_token, allow, …")
    parser.add_argument("--route", metavar="ID", help="only those of this route")
    parser.add_argument("--subject", help="only those of this caller")
    parser.add_argument("--client", metavar="ADDRESS", help="only those of this address")
    parser.add_argument("--outcome", choices=("allow", "refuse"), help="only those that passed, or did not")
    parser.add_argument("--request-id", metavar="ID", help="only those with this id, the X-Request-ID of the answer")
    parser.add_argument(
        "--last", type=_number, default=10, metavar="N", help="begin with so many that were kept; 10 if left out"
    )
    parser.add_argument("--once", action="store_true", help="print those that were kept, and end")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    add_door_options(parser)


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) > 1000:
        raise argparse.ArgumentTypeError("must be a number, at most 1000")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    """Exit status 0 if it was stopped, 1 if the gateway cannot be asked, or refuses."""
    try:
        asyncio.run(_follow(arguments, door_of(arguments)))
    except (NoDoor, NoAnswer, NotLetIn) as trouble:
        print(trouble, file=sys.stderr)
        return 1
    except BrokenPipeError:  # `gateway tail | head` has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        pass
    return 0


async def _follow(arguments: argparse.Namespace, door: Door) -> None:
    wanted = {name: value for name in _FILTERS if (value := getattr(arguments, name)) is not None}
    lines = Lines(paint_for(sys.stdout))
    has_header = arguments.json or not sys.stdout.isatty()
    async with (
        AdminClient(door) as client,
        aclosing(follow(client, wanted, arguments.last, _tell)) as batches,
    ):
        async for decisions in batches:
            lines.make_room(decisions)
            if not has_header:
                print(lines.header())
                has_header = True
            for decision in decisions:
                text = json.dumps(decision) if arguments.json else encodable(lines.line(decision), sys.stdout)
                print(text)
            sys.stdout.flush()
            if arguments.once:
                return


def _tell(what: str) -> None:
    print(f"gateway tail: {what}", file=sys.stderr, flush=True)
