import ast
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from gateway.state.shelf import CONTENT, Shelf, new_shelf

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="only Linux has memory without a name")


@pytest.fixture
def descriptors() -> Iterator[tuple[int, ...]]:
    found = new_shelf()
    yield found
    for each in found:
        os.close(each)


class Other:
    """Another process, which has the shelf from its parent as a worker has."""

    def __init__(self, descriptors: tuple[int, ...]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.state.shelf_process", ",".join(map(str, descriptors))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=descriptors,
        )

    def does(self, *words: object) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(*words, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        return ast.literal_eval(answer) if answer else "dead"

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def another(descriptors: tuple[int, ...]) -> Iterator[Callable[[], Other]]:
    with ExitStack() as stack:

        def start() -> Other:
            other = Other(descriptors)
            stack.callback(other.end)
            return other

        yield start


def test_what_one_puts_there_others_take_until_it_is_replaced(another: Callable[[], Other]) -> None:
    one, other = another(), another()
    assert other.does("take", 0) is None
    assert one.does("put", "abc", 1000, 1) is True
    assert other.does("take", 0) == (1, b"abc", 3000)
    assert other.does("take", 1) is None
    assert other.does("put", "xyz", 10, 2) is True
    assert one.does("take", 1) == (2, b"xyz", 30)


def test_what_somebody_has_is_never_written_over(another: Callable[[], Other]) -> None:
    reader, writer = another(), another()
    assert writer.does("put", "a", 5000, 1)
    assert reader.does("take", 0) == (1, b"aaa", 5000)
    assert writer.does("put", "b", 100, 2)
    assert writer.does("put", "c", 9000, 3) is False
    assert writer.does("take", 0) == (2, b"bbb", 100)
    assert reader.does("show") == [{ord("a")}]
    assert reader.does("take", 1) == (2, b"bbb", 100)
    reader.does("drop")
    assert writer.does("put", "c", 9000, 3) is True
    assert reader.does("take", 2) == (3, b"ccc", 9000)


def test_a_writer_does_not_write_over_what_it_has_itself(another: Callable[[], Other]) -> None:
    one = another()
    for number, letter in enumerate("ab", start=1):
        assert one.does("put", letter, 10, number)
        assert one.does("take", number - 1) == (number, letter.encode() * 3, 10)
    assert one.does("put", "c", 10, 3) is False
    assert one.does("show") == [{ord("a")}, {ord("b")}]


def test_who_is_gone_holds_nothing_up(another: Callable[[], Other]) -> None:
    reader, writer = another(), another()
    assert writer.does("put", "a", 10, 1)
    assert reader.does("take", 0)
    assert reader.does("turn") is True
    assert writer.does("turn") is False
    assert writer.does("put", "b", 10, 2)
    reader.end()
    assert writer.does("turn") is True
    assert writer.does("put", "c", 10, 3) is True


@pytest.mark.parametrize("written", [0, 1, 2, 50, 101])
def test_what_a_writer_left_unfinished_is_not_taken(another: Callable[[], Other], written: int) -> None:
    writer, reader = another(), another()
    for number, letter in enumerate("ab", start=1):
        assert another().does("put", letter, 150_000, number)
    assert writer.does("die_putting", "c", written, 3) == "dead"
    assert reader.does("take", 0) == (2, b"bbb", 150_000)
    assert another().does("put", "d", 10, 3) is True
    assert reader.does("take", 2) == (3, b"ddd", 10)


def test_what_is_not_whole_is_not_taken(descriptors: tuple[int, ...]) -> None:
    shelf = Shelf(descriptors)
    assert shelf.put(b"a" * 100, 1)
    os.pwrite(descriptors[0], b"b", CONTENT + 50)
    assert shelf.take() is None


def test_what_another_version_put_there_is_nothing(descriptors: tuple[int, ...]) -> None:
    shelf = Shelf(descriptors)
    os.pwrite(descriptors[0], b"shelf 99" + bytes([1]) * 100, 0)
    assert (shelf.newest(), shelf.take()) == (0, None)


def test_only_the_next_generation_is_put_there(descriptors: tuple[int, ...]) -> None:
    shelf = Shelf(descriptors)
    assert not shelf.put(b"a", 2)
    assert shelf.put(b"a", 1)
    assert not shelf.put(b"b", 1)
    assert shelf.newest() == 1


def test_where_there_is_no_such_memory_there_is_no_shelf(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> int:
        raise PermissionError(name)

    monkeypatch.setattr(os, "memfd_create", refuse)
    assert new_shelf() == ()
    monkeypatch.delattr(os, "memfd_create")
    assert new_shelf() == ()
