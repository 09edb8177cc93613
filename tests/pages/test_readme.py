"""What the README shows is what the demo prints to paste, and what comes of it."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.commands.demo import config_file
from tests.pages.blocks import ROOT, blocks
from tests.pages.trying import PATIENCE, end
from tests.pages.typing_in import assert_shown, typed


@contextmanager
def demo(at: Path) -> Iterator[list[str]]:
    """Run the demo, and give the lines to paste."""
    command = [sys.executable, "-m", "gateway", "demo", "--port", "0"]
    process = subprocess.Popen(
        command, cwd=at, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        lines = []
        for line in process.stdout:
            lines.append(line.decode().strip())
            if "Ctrl-C" in lines[-1]:
                break
        yield lines
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)
    finally:
        process.stdout.close()
        end(process)


def as_in_a_checkout(line: str) -> str:
    """Return a line of the demo as it stands after `make demo`, on the ports that are taken first."""
    line = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:8080", line)
    line = line.replace(f"{sys.executable} -m gateway", ".venv/bin/gateway")
    return line.replace(str(config_file()), "config.yaml")


def shown() -> list[tuple[str, list[str]]]:
    """Return each command of the README, with what it prints."""
    pairs: list[tuple[str, list[str]]] = []
    for block in blocks("README.md", "console"):
        for line in block.text.splitlines():
            if line.startswith("$ "):
                pairs.append((line[2:], []))
            else:
                pairs[-1][1].append(line)
    return pairs


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_demo_answers_as_the_readme_shows(tmp_path: Path) -> None:
    with demo(tmp_path) as lines:
        at = 0
        for command, answer in shown():
            pattern = ".*".join(map(re.escape, command.split("…")))
            found = [each for each, line in enumerate(lines) if re.fullmatch(pattern, as_in_a_checkout(line))]
            assert found, (command, lines)
            at = min(found, key=lambda each: (each < at, each))  # the next one
            line = lines[at]
            assert_shown(answer, typed([f"{{ {line}; }} 2>&1 || true"], tmp_path).replace("\r", ""))


def test_keys_and_users_of_ones_own_are_made_as_the_readme_shows(tmp_path: Path) -> None:
    typed((block.text for block in blocks("README.md", "sh")), tmp_path)
    assert {"keys.json", "users"} <= {file.name for file in tmp_path.iterdir()}
