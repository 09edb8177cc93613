"""`gateway parent`: watches several processes that serve. `gateway serve` becomes this; see `gateway.workers`."""

import argparse
import sys

from gateway.workers.parenting import run_parent
from gateway.workers.plan import read_plan


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("parent", help="watches workers; started by the gateway itself")
    parser.add_argument("config", metavar="CONFIG", help="shown in lists of processes")
    parser.add_argument("--plan", type=int, required=True, metavar="DESCRIPTOR")


def run(arguments: argparse.Namespace) -> int:
    try:
        return run_parent(read_plan(arguments.plan))
    except OSError as error:
        print(f"cannot start: {error.strerror or error}", file=sys.stderr)
        return 1
