"""`gateway serve` says in one line why it cannot start."""

import logging
import socket
from pathlib import Path

import pytest

from gateway.cli import main


def config(tmp_path: Path, address: str, rest: str = "") -> Path:
    file = tmp_path / "config.yaml"
    file.write_text(
        f"""\
listen: [{{address: "{address}"}}]
upstreams: {{app: {{targets: ["http://127.0.0.1:9"]}}}}
routes: [{{id: all, match: {{path: /**}}, upstream: app, access: public}}]
{rest}
"""
    )
    return file


@pytest.fixture(autouse=True)
def _library_loggers() -> object:
    """`serve` owns its process, and so the loggers of libraries; here it does not."""
    loggers = [logging.getLogger(name) for name in ("aiohttp", "asyncio")]
    before = [list(logger.handlers) for logger in loggers]
    yield
    for logger, handlers in zip(loggers, before, strict=True):
        logger.handlers[:] = handlers


def test_a_taken_address_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert main(["serve", str(config(tmp_path, address))]) == 1
    assert f"cannot start: cannot listen on {address}: Address already in use\n" in capsys.readouterr().err


def test_mistakes_are_told_as_by_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = config(tmp_path, "127.0.0.1:0", "identity: {issuer: https://gateway.example, key_file: missing.pem}")
    assert main(["check", str(file)]) == 1
    told = capsys.readouterr().err
    assert "cannot read missing.pem" in told
    assert main(["serve", str(file)]) == 1
    assert capsys.readouterr().err == told


def test_a_store_that_must_not_be_used_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = config(tmp_path, "127.0.0.1:0", 'state: {url: "sqlite::memory:"}')
    assert main(["serve", str(file)]) == 1
    err = capsys.readouterr().err
    assert "cannot start: every process would have a memory of its own: name a file\n" in err
    assert "Traceback" not in err


def test_a_file_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", str(tmp_path / "nothing.yaml")]) == 1
    assert "nothing.yaml: cannot be read: No such file or directory" in capsys.readouterr().err


def test_libraries_are_heard_in_the_format_of_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["serve", str(config(tmp_path, f"127.0.0.1:{taken.getsockname()[1]}"))]) == 1
    logging.getLogger("aiohttp.server").error("two\nlines")
    assert '"event": "library_message"' in capsys.readouterr().err.splitlines()[-1]
