"""`gateway top`: what a gateway does right now."""

import argparse
import asyncio
import json
import os
import shutil
import sys

from gateway.commands.arguments import duration
from gateway.commands.asking.client import AdminClient, NoAnswer, NotLetIn
from gateway.commands.asking.door import Door, NoDoor
from gateway.commands.asking.options import add_door_options, door_of
from gateway.commands.showing.terminal import Paint, encodable, paint_for
from gateway.commands.watching.frame import frame
from gateway.commands.watching.history import History
from gateway.commands.watching.sample import take_sample
from gateway.commands.watching.screen import Screen, screen
from gateway.commands.watching.view import View, view_of

_SHORTEST = 0.05


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "top",
        help="watch what a running gateway does",
        description="Watch what a running gateway does: requests, refusals by reason, latency, sessions, upstreams. "
        "Ctrl-C ends it.",
    )
    parser.add_argument(
        "--every", type=_interval, default=2.0, metavar="DURATION", help="between two pictures; 2s if left out"
    )
    parser.add_argument("--once", action="store_true", help="print one picture, of the time `--every`, and end")
    parser.add_argument("--json", action="store_true", help="the same as JSON")
    add_door_options(parser)


def _interval(text: str) -> float:
    seconds = duration(text)
    if seconds < _SHORTEST:
        raise argparse.ArgumentTypeError("must be at least 50ms")
    return seconds


def run(arguments: argparse.Namespace) -> int:
    """Exit status 0 if it was stopped, 1 if the gateway cannot be asked, or refuses."""
    is_live = sys.stdout.isatty() and not (arguments.once or arguments.json)
    try:
        door = door_of(arguments)
        asyncio.run(_watch(door, arguments.every) if is_live else _print_one(door, arguments.every, arguments.json))
    except (NoDoor, NoAnswer, NotLetIn) as trouble:
        print(trouble, file=sys.stderr)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (KeyboardInterrupt, asyncio.CancelledError):
        pass
    return 0


async def _print_one(door: Door, every: float, as_json: bool) -> None:
    async with AdminClient(door) as client:
        earlier = await take_sample(client)
        await asyncio.sleep(every)
        view = view_of(earlier, await take_sample(client))
    if as_json:
        print(json.dumps(view, indent=2))
        return
    lines = frame(view, shutil.get_terminal_size().columns, None, paint_for(sys.stdout))
    print(encodable("\n".join(line.rstrip() for line in lines), sys.stdout))


async def _watch(door: Door, every: float) -> None:
    """Show pictures until somebody stops it. Raises NoAnswer if the first question has none."""
    paint = paint_for(sys.stdout)
    async with AdminClient(door) as client:
        history = History(await take_sample(client))
        with screen() as shown:
            trouble, pause = "", every
            while True:
                _show(shown, history.view, trouble, paint)
                await shown.pause(pause)
                try:
                    history.add(await take_sample(client))
                    trouble, pause = "", every
                except NoAnswer as error:
                    trouble, pause = f"asking again: {error}", max(every, error.retry_after)


def _show(shown: Screen, view: View, trouble: str, paint: Paint) -> None:
    width, height = shown.size()
    notes = [paint(trouble[:width], "yellow")] if trouble else []
    lines = [*notes, *frame(view, width, height - len(notes), paint)]
    shown.show([encodable(line, sys.stdout) for line in lines])
