"""Lines written to a file descriptor without ever making the event loop wait.

A thread does the writing. O_NONBLOCK would be cheaper, but it belongs to the open file, which standard output shares
with standard error and with other processes; opening it anew through /proc is refused to a process that gave up its
privileges, and fails on sockets; and none of that helps on a disk that hangs. In the thread a write may wait: the
interpreter lock is released meanwhile and the loop goes on.
When the consumer is stuck, what waits is bounded and what exceeds it is dropped and counted: traffic matters more
than its log.
"""

import asyncio
import os
import select
from collections.abc import Iterator
from queue import SimpleQueue
from threading import Thread
from typing import Protocol

_BATCH = 32 * 1024
"""Hand over at this many characters, to be one write: waking the thread, and its way back to the interpreter lock, cost
more than many lines."""

_FLUSH_INTERVAL = 0.25
"""Seconds that a line may wait for others: short for a person who watches, long for a busy process."""

_MAX_WAITING = 4 * 1024 * 1024
"""Characters that may wait for the thread: about a second of lines at 10,000 requests/s."""

_ATOMIC = select.PIPE_BUF
"""Bytes that POSIX `write` never mixes with those of another process on the same pipe, even when it is full."""


class Sink(Protocol):
    """Where a thread writes whole lines. It alone uses it."""

    def put(self, block: bytes) -> None:
        """Write all of it, however long that takes. Raises OSError."""

    def close(self) -> None:
        """Nothing more will come."""


class LineWriter:
    """Collects lines of ASCII and has them written by a thread, which starts with the first flush: after any fork.

    `is_shared` says that other processes write to the same pipe. Writes are then small enough to never tear a line,
    which costs throughput; a line beyond 4 KiB alone is not protected.
    """

    def __init__(self, sink: int | Sink, *, is_shared: bool = False, max_waiting: int = _MAX_WAITING) -> None:
        """`sink` may be a descriptor, which stays open."""
        self._sink = Descriptor(sink) if isinstance(sink, int) else sink
        self._write_size = _ATOMIC if is_shared else _BATCH
        self._max_waiting = max_waiting
        self._lines: list[str] = []
        self._size = 0
        # Each number has one writer, the loop or the thread, so they need no lock.
        self._handed_over = 0
        self._done = 0
        self._dropped_by_loop = 0
        self._dropped_by_thread = 0
        self._batches: SimpleQueue[list[str] | None] = SimpleQueue()
        self._thread: Thread | None = None

    @property
    def dropped(self) -> int:
        """How many lines were lost: nobody took them in time, or the descriptor failed."""
        return self._dropped_by_loop + self._dropped_by_thread

    @property
    def is_idle(self) -> bool:
        """Whether nothing that was flushed waits for the thread."""
        return self._handed_over == self._done

    def write(self, line: str) -> None:
        """Take one line with its line break."""
        if self._size + len(line) > _BATCH:
            self.flush()
        self._lines.append(line)
        self._size += len(line)

    def flush(self) -> None:
        """Hand what was collected to the thread, or drop it when too much waits there already."""
        lines, size = self._lines, self._size
        if not lines:
            return
        self._lines, self._size = [], 0
        if self._handed_over - self._done + size > self._max_waiting:
            self._dropped_by_loop += len(lines)
            return
        self._handed_over += size
        self._batches.put(lines)
        if self._thread is None:
            self._thread = Thread(target=self._work, name="line writer", daemon=True)
            self._thread.start()

    async def keep_flushing(self) -> None:
        """Flush now and then, for ever: a background task."""
        while True:
            await asyncio.sleep(_FLUSH_INTERVAL)
            self.flush()

    def close(self, patience: float = 2.0) -> None:
        """Flush and end the thread; wait at most `patience` seconds for a consumer that is stuck."""
        self.flush()
        if self._thread is None:
            self._sink.close()
        else:
            self._batches.put(None)
            self._thread.join(patience)

    def _work(self) -> None:
        while (lines := self._batches.get()) is not None:
            for block in _blocks(lines, self._write_size):
                try:
                    self._sink.put(block)
                except OSError:  # the consumer is gone or the disk is full; it may come back
                    self._dropped_by_thread += block.count(b"\n")
                self._done += len(block)
        self._sink.close()


class Descriptor:
    """Is a Sink: a descriptor that belongs to somebody else."""

    def __init__(self, number: int) -> None:
        self._number = number

    def put(self, block: bytes) -> None:
        while block:
            block = block[write_some(self._number, block) :]

    def close(self) -> None:
        """Leave it open."""


def _blocks(lines: list[str], limit: int) -> Iterator[bytes]:
    """Yield whole lines together, up to `limit` bytes; a longer line comes alone."""
    block: list[str] = []
    size = 0
    for line in lines:
        if block and size + len(line) > limit:
            yield "".join(block).encode("ascii", "backslashreplace")
            block, size = [], 0
        block.append(line)
        size += len(line)
    yield "".join(block).encode("ascii", "backslashreplace")


def write_some(descriptor: int, block: bytes) -> int:
    """Write at least a byte, and return how many, as soon as there is room. Raises OSError."""
    while True:
        try:
            return os.write(descriptor, block)
        except BlockingIOError:  # another process made the shared file non-blocking
            poll = select.poll()
            poll.register(descriptor, select.POLLOUT)
            poll.poll()
