"""Traces are an extra: without its packages everything else works, and who asks for them is told what to install."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.config.compile import CompileMistakes, compile_config
from gateway.config.load import load_text
from gateway.mechanisms.base import offline_resources
from gateway.telemetry.trace_settings import MISSING, read_headers
from tests.minting import jwks
from tests.trips.running import KEY, config

_WITHOUT = """
import sys
sys.modules["opentelemetry"] = None  # as if it was not installed
import gateway.app, gateway.commands.serve
from gateway.cli import main
sys.exit(main(["check", sys.argv[1]]))
"""
_NOT_LOADED = """
import sys
import gateway.app, gateway.commands.serve
sys.exit(any(name.split(".")[0] in ("opentelemetry", "google", "requests") for name in sys.modules))
"""


def written(directory: Path, text: str = "") -> Path:
    (directory / "keys.json").write_bytes(jwks(KEY))
    file = directory / "gateway.yaml"
    file.write_text(json.dumps(config(text)))
    return file


def python(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", *words], capture_output=True, text=True, check=False)


def test_without_the_packages_a_gateway_without_traces_works(tmp_path: Path) -> None:
    done = python(_WITHOUT, str(written(tmp_path)))
    assert (done.returncode, done.stderr) == (0, "")


def test_without_the_packages_traces_are_a_mistake_that_says_what_to_do(tmp_path: Path) -> None:
    file = written(tmp_path, 'traces: {endpoint: "http://127.0.0.1:4318/v1/traces"}')
    done = python(_WITHOUT, str(file))
    assert (done.returncode, done.stderr) == (1, f"{file}:1: traces: {MISSING}\n")


def test_the_packages_are_not_loaded_unless_they_are_needed() -> None:
    assert python(_NOT_LOADED).returncode == 0


def test_a_headers_file_has_a_header_in_each_line() -> None:
    assert read_headers(b"X-Api-Key: a:b c \n\n X-Tenant:1\n") == (("X-Api-Key", "a:b c"), ("X-Tenant", "1"))


@pytest.mark.parametrize("content", [b"key", b"X-Key:", b": value", b"X-Key: \xff", b"X-Key: a\x00b", b"X-Key: a\x1b"])
def test_a_headers_file_with_mistakes_is_refused_without_a_word_of_it(content: bytes) -> None:
    with pytest.raises(ValueError, match=r'^line 2 is not "Name: value"$'):
        read_headers(b"\n" + content)


@pytest.mark.parametrize(
    ("settings", "place"), [({"headers_file": "nowhere"}, "headers_file"), ({"ca": "keys.json"}, "ca")]
)
def test_files_that_cannot_be_used_are_mistakes(tmp_path: Path, settings: dict[str, str], place: str) -> None:
    file = written(tmp_path, json.dumps({"traces": {"endpoint": "https://collector:4318/v1/traces", **settings}}))
    loaded = load_text(file.read_text(), {}, file=file)
    with pytest.raises(CompileMistakes) as caught:
        compile_config(loaded.config, offline_resources(tmp_path))
    assert [path for path, _ in caught.value.mistakes] == [("traces", place)]
