"""What every process that serves begins with."""

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from gateway.config.compile import CompileMistakes
from gateway.config.load import Loaded
from gateway.mechanisms.base import BadSetting
from gateway.state.base import BadStore
from gateway.telemetry.log import Log
from gateway.workers.activation import StrangeSocket
from gateway.workers.descriptors import needed, raise_limit


@dataclass
class Outcome:
    """How a process exits."""

    status: int = 0


Tell = Callable[[Sequence[str]], None]
"""Tells what is wrong, a line for each mistake."""


def print_mistakes(mistakes: Sequence[str]) -> None:
    print("\n".join(mistakes), file=sys.stderr)


@contextmanager
def told_why_not(loaded: Loaded, tell: Tell = print_mistakes) -> Iterator[Outcome]:
    """Run the block; say in a line for each mistake why it could not start, which is exit status 1."""
    outcome = Outcome()
    try:
        yield outcome
    except CompileMistakes as error:
        tell([str(mistake) for mistake in loaded.mistakes(error).mistakes])
        outcome.status = 1
    except OSError as error:
        tell([f"cannot start: {error.strerror or error}"])
        outcome.status = 1
    except (BadStore, BadSetting, StrangeSocket) as error:
        tell([f"cannot start: {error}"])
        outcome.status = 1


def fill_standard_streams() -> None:
    """Open what was closed of standard input, output and error: else connections get their numbers, and the logs."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def event_loop() -> asyncio.AbstractEventLoop:
    """Return a uvloop where there is one, and asyncio's own elsewhere."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def hear_libraries(log: Log) -> None:
    """Write what libraries have to say in the format of the log."""
    for library in ("aiohttp", "asyncio"):
        logging.getLogger(library).addHandler(log.handler)


def see_to_descriptors(loaded: Loaded, log: Log) -> None:
    """Allow as many open files as possible, and tell if these may be too few."""
    allowed, wanted = raise_limit(), needed(loaded.config)
    if allowed < wanted:
        log.warning("few_descriptors", allowed=allowed, needed=wanted)
