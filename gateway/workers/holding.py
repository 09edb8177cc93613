"""Signals that would end a process that does not know yet what to do about them."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

_SIGNALS = {signal.SIGHUP, signal.SIGUSR2}


@contextmanager
def held_back() -> Iterator[None]:
    """Let requests for a reload or a restart wait until `let_through` is called, here or in the program that takes the
    place of this one. Imports nothing, so that little of the start is left without it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        while pending := signal.sigpending() & _SIGNALS - before:
            signal.sigwait(pending)  # it could not start: that is its answer
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def let_through() -> None:
    """Deliver those that came meanwhile."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
