import asyncio
import contextlib
import fcntl
import os
import select
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.telemetry.lines import LineWriter

LINE = "x" * 99 + "\n"


class Pipe:
    """A pipe whose reader can be stuck."""

    def __init__(self) -> None:
        self.end, self.descriptor = os.pipe()

    def read_all(self) -> bytes:
        """Close the writing end and read until the end."""
        os.close(self.descriptor)
        with open(self.end, "rb") as file:
            return file.read()

    def close(self) -> None:
        for descriptor in (self.end, self.descriptor):
            with contextlib.suppress(OSError):
                os.close(descriptor)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


def is_readable(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 0)[0])


def test_lines_are_collected_until_they_are_flushed(pipe: Pipe) -> None:
    writer = LineWriter(pipe.descriptor)
    writer.write("one\n")
    writer.write("two\n")
    assert not is_readable(pipe.end)
    writer.flush()
    assert os.read(pipe.end, 100) == b"one\ntwo\n"
    writer.close()


def test_many_lines_are_flushed_without_being_asked(pipe: Pipe) -> None:
    writer = LineWriter(pipe.descriptor)
    for _ in range(400):
        writer.write(LINE)
    assert os.read(pipe.end, 1) == b"x"
    writer.close()


def test_flushing_nothing_writes_nothing(pipe: Pipe) -> None:
    writer = LineWriter(pipe.descriptor)
    writer.flush()
    writer.close()
    assert pipe.read_all() == b""


def test_closing_writes_what_was_collected(pipe: Pipe) -> None:
    writer = LineWriter(pipe.descriptor)
    writer.write("one\n")
    writer.close()
    assert pipe.read_all() == b"one\n"


async def test_a_background_task_flushes_now_and_then(pipe: Pipe) -> None:
    writer = LineWriter(pipe.descriptor)
    task = asyncio.create_task(writer.keep_flushing())
    writer.write("one\n")
    assert await asyncio.to_thread(os.read, pipe.end, 100) == b"one\n"
    task.cancel()
    writer.close()


def test_a_stuck_consumer_costs_lines_and_does_not_stall_the_loop(pipe: Pipe) -> None:
    writer = LineWriter(pipe.descriptor, max_waiting=200_000)
    for _ in range(10_000):
        writer.write(LINE)
    writer.flush()
    assert writer.dropped >= 7_000  # a megabyte was offered; 200 kB may wait, and the pipe holds 64 KiB
    writer.close(patience=0)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.extend(iter(lambda: os.read(pipe.end, 65536), b"")))
    reader.start()
    writer.close()
    os.close(pipe.descriptor)
    reader.join()
    assert b"".join(received) == LINE.encode() * (10_000 - writer.dropped)


def test_a_consumer_that_is_gone_costs_lines_and_nothing_else(pipe: Pipe) -> None:
    writer = LineWriter(pipe.descriptor)
    os.close(pipe.end)
    writer.write("one\n")
    writer.write("two\n")
    writer.close()
    assert writer.dropped == 2


def test_a_descriptor_that_somebody_made_non_blocking_is_waited_for(pipe: Pipe) -> None:
    fcntl.fcntl(pipe.descriptor, fcntl.F_SETFL, os.O_NONBLOCK)
    writer = LineWriter(pipe.descriptor)
    for _ in range(2_000):
        writer.write(LINE)
    writer.flush()
    assert len(os.read(pipe.end, 1)) == 1
    received = [b"x"]
    while sum(map(len, received)) < 2_000 * len(LINE):
        received.append(os.read(pipe.end, 65536))
    writer.close()
    assert b"".join(received) == LINE.encode() * 2_000
    assert writer.dropped == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has pipes in packet mode")
def test_on_a_shared_pipe_every_write_is_whole_lines_and_atomic() -> None:
    # A pipe in packet mode keeps the borders of writes, up to a page.
    end, descriptor = os.pipe2(os.O_DIRECT)
    writer = LineWriter(descriptor, is_shared=True)
    for _ in range(200):
        writer.write(LINE)
    writer.close()
    os.close(descriptor)
    packets = list(iter(lambda: os.read(end, 65536), b""))
    os.close(end)
    assert b"".join(packets) == LINE.encode() * 200
    assert all(len(packet) <= select.PIPE_BUF and packet.endswith(b"\n") for packet in packets)


def test_a_line_longer_than_a_write_is_written_alone(pipe: Pipe) -> None:
    writer = LineWriter(pipe.descriptor, is_shared=True)
    long = "y" * 10_000 + "\n"
    writer.write("one\n")
    writer.write(long)
    writer.write("two\n")
    writer.close()
    assert pipe.read_all() == b"one\n" + long.encode() + b"two\n"


def test_a_character_that_is_not_ascii_is_escaped_and_kills_nothing(pipe: Pipe) -> None:
    writer = LineWriter(pipe.descriptor)
    writer.write("ä\n")
    writer.close()
    assert pipe.read_all() == b"\\xe4\n"


def test_a_file_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(b"zero\n")
    with path.open("ab") as file:
        writer = LineWriter(file.fileno())
        writer.write("one\n")
        writer.close()
    assert path.read_bytes() == b"zero\none\n"
