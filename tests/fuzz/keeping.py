"""Adds to the corpus what fuzzing found: an input that reaches what no smaller one reaches."""

import hashlib
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

from tests.fuzz.places import CORPUS, WORK, inputs
from tests.fuzz.targets import load

MOST = 20
"""Files of a target's corpus, seeds not counted."""
LARGEST = 2048
"""Bytes of a file that is added."""

Arc = tuple[CodeType, int, int]


def keep(target: str) -> str:
    """Copy what is worth it from the work directory to the corpus; return what was done, in words."""
    check = load(target)
    known: set[Arc] = set()
    for file in inputs(CORPUS / target):
        known |= arcs(check, file.read_bytes())
    added = 0
    for file in inputs(WORK / target):
        data = file.read_bytes()
        if added >= MOST or len(data) > LARGEST:
            break
        try:
            reached = arcs(check, data)
        except AssertionError:
            continue  # too slow while it is watched, where a check looks at the time
        if reached - known:
            known |= reached
            added += 1
            (CORPUS / target / hashlib.sha256(data).hexdigest()[:12]).write_bytes(data)
    return f"{target}: {added} added, {len(inputs(CORPUS / target))} in all, {len(known)} arcs"


def arcs(check: Callable[[bytes], None], data: bytes) -> set[Arc]:
    """Return which line of the gateway's code followed which while an input was checked."""
    seen: set[Arc] = set()

    def on_call(frame: FrameType, event: str, argument: Any) -> Any:
        if "/gateway/" not in frame.f_code.co_filename:
            return None
        code, before = frame.f_code, 0

        def on_line(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal before
            if event == "line":
                seen.add((code, before, frame.f_lineno))
                before = frame.f_lineno
            return on_line

        return on_line

    sys.settrace(on_call)
    try:
        check(data)
    finally:
        sys.settrace(None)
    return seen
