"""Types into a shell what a page shows, and compares what comes with what the page shows."""

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.pages.blocks import ROOT, Block
from tests.pages.trying import PASSWORD, end
from tests.ports import free_port

_PATIENCE = 180.0
_PREPARED = f"""
set -e
gateway() {{
  case "$1 $2" in
    "users add") echo {PASSWORD} | "{sys.executable}" -m gateway "$@" --password-stdin ;;
    *) "{sys.executable}" -m gateway "$@" ;;
  esac
}}
"""
"""A shell in which `gateway` is ours, and asks nobody for a password."""


def typed(lines: Iterable[str], at: Path) -> str:
    """Type lines into a shell, and return what all of them print. Raises AssertionError where one fails."""
    script = "\n".join([_PREPARED, *lines, 'if [ -n "$(jobs -p)" ]; then kill $(jobs -p); fi'])
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "no_proxy": "*"}
    with (at / "typed").open("w+") as out:
        process = subprocess.Popen(
            ["bash", "-c", script],
            cwd=at,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        try:
            status = process.wait(_PATIENCE)
        finally:
            end(process)
        out.seek(0)
        said = out.read()
    assert status == 0, said
    return said


def commands(blocks: Iterable[Block]) -> Iterator[str]:
    """Give what a reader types, in the order of the page."""
    for block in blocks:
        match block.language:
            case "sh":
                yield block.text
            case "yaml":
                yield f"cat > {block.title} <<'END'\n{block.text}END"
            case "console":
                yield from (line[2:] for line in block.text.splitlines() if line.startswith("$ "))


def answers(blocks: Iterable[Block]) -> list[str]:
    """Return what a reader then sees."""
    consoles = [block for block in blocks if block.language == "console"]
    return [line for block in consoles for line in block.text.splitlines() if not line.startswith("$ ")]


def assert_shown(expected: Iterable[str], said: str) -> None:
    """Raise AssertionError unless these lines, or parts of them, come one after the other; `…` stands for anything."""
    at = 0
    for line in expected:
        found = re.compile(".*".join(map(re.escape, line.split("…")))).search(said, at)
        assert found, (line, said)
        at = found.end()


def on_free_ports(blocks: Iterable[Block]) -> list[Block]:
    """Return the blocks with other ports than those that everybody takes for trying something."""
    free = {port: str(free_port()) for port in ("8080", "9090", "9000")}

    def moved(text: str) -> str:
        for port, other in free.items():
            text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{other}")
            text = text.replace(f"http.server {port}", f"http.server {other}")
        return text

    return [Block(each.page, each.language, each.title, moved(each.text), each.reason) for each in blocks]
