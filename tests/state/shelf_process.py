"""Another process at a shelf: does what it reads from standard input, line by line, and tells the outcome."""

import os
import sys
from mmap import mmap
from typing import Any

from gateway.state.shelf import CONTENT, Shelf


def main() -> None:
    shelf = Shelf([int(each) for each in sys.argv[1].split(",")])
    held: list[mmap] = []
    for line in sys.stdin:
        word, *rest = line.split()
        outcome: object = None
        if word == "put":
            outcome = shelf.put(rest[0].encode() * int(rest[1]), int(rest[2]))
        elif word == "die_putting":
            die_after_writing(int(rest[1]))
            shelf.put(rest[0].encode() * 100_000, int(rest[2]))
        elif word == "take":
            found = shelf.take(int(rest[0]))
            outcome = found and (found[0], found[1][CONTENT:][:3], len(found[1]) - CONTENT)
            held += [found[1]] if found else []
        elif word == "show":
            outcome = [set(each[CONTENT:]) for each in held]
        elif word == "drop":
            held.clear()
        elif word == "turn":
            outcome = shelf.take_turn()
        print(repr(outcome), flush=True)


def die_after_writing(number: int) -> None:
    """Let this process end at once, when it has written so often."""
    write, left = os.pwrite, [number]

    def limited(descriptor: int, data: Any, offset: int) -> int:
        if not left[0]:
            os._exit(9)
        left[0] -= 1
        return write(descriptor, data[:1000], offset)

    os.pwrite = limited


if __name__ == "__main__":
    main()
