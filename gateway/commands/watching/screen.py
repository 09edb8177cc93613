"""A terminal that shows one picture after another, and is left as it was found."""

import shutil
import signal
import sys
from asyncio import Event, current_task, get_running_loop, timeout
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
"""To a second screen without a cursor, and back."""
_HOME, _NO_LINE = "\x1b[H", "\x1b[2K"


class Screen:
    def __init__(self) -> None:
        self._has_changed = Event()

    def size(self) -> tuple[int, int]:
        """Return columns and lines."""
        size = shutil.get_terminal_size()
        return size.columns, size.lines

    def show(self, lines: Sequence[str]) -> None:
        """Show a picture in the place of the last one, without flicker.

        Each line is emptied before it is written: behind a full one, terminals would take its last letter.
        """
        whole = [*lines, *[""] * (self.size()[1] - len(lines))]
        sys.stdout.write(_HOME + "\n".join(f"{_NO_LINE}{line}" for line in whole))
        sys.stdout.flush()

    async def pause(self, seconds: float) -> None:
        """Wait; not as long if the terminal gets another size."""
        self._has_changed.clear()
        with suppress(TimeoutError):
            async with timeout(seconds):
                await self._has_changed.wait()

    def has_new_size(self) -> None:
        self._has_changed.set()


@contextmanager
def screen() -> Iterator[Screen]:
    """Take the terminal over, and give it back, also when the process is to end: then the task is cancelled."""
    taken, loop, task = Screen(), get_running_loop(), current_task()
    assert task is not None
    loop.add_signal_handler(signal.SIGWINCH, taken.has_new_size)
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    sys.stdout.write(_ENTER)
    try:
        yield taken
    finally:
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()
        loop.remove_signal_handler(signal.SIGWINCH)
        loop.remove_signal_handler(signal.SIGTERM)
