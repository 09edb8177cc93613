"""The garbage collector around the start of a process.

What a start makes is nearly all kept: 60,000 objects to look through, and one in a hundred is garbage. So the collector
waits until the start is over (a tenth of its time), and never looks at what was made until then again (a pause of 50 ms
each time). What requests leave behind is hardly cyclic: other thresholds made no measurable difference.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def put_off() -> Iterator[None]:
    """Collect no garbage until `started` is called, or the end of the block."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def started() -> None:
    """Take all that is there for permanent, and begin to collect garbage."""
    gc.freeze()
    gc.enable()
