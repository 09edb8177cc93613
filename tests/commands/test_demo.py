"""`gateway demo` runs, and what it prints to paste does what it says."""

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.commands.demo import config_file
from gateway.config.load import load_text
from gateway.config.schema import Config
from tests.state.redis_servers import RedisServer

ROOT = Path(__file__).parents[2]


@contextmanager
def demo(directory: Path, *words: str) -> Iterator[list[str]]:
    """Run the demo in `directory`, give the lines that it printed, and stop it as Ctrl-C does."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "demo", *words],
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines: list[str] = []
    try:
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if "Ctrl-C" in line:
                break
        yield lines
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    assert "Ctrl-C stops it." in lines


def shell(line: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run a line in a shell without an active virtual environment."""
    places = os.environ["PATH"].split(os.pathsep)
    path = os.pathsep.join(place for place in places if Path(place) != Path(sys.executable).parent)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": path, "no_proxy": "*"}
    return subprocess.run(line, shell=True, cwd=directory, env=environment, capture_output=True, text=True)


def paste(lines: list[str], directory: Path) -> tuple[list[tuple[int, str]], list[subprocess.CompletedProcess[str]]]:
    """Paste what was printed: return what each curl line answered, with its status, and what the other lines did."""
    expected, tried, others = 0, [], []
    for line in lines:
        if told := re.match(r"(\d{3}): ", line):
            expected = int(told[1])
        elif line.startswith("  curl -i "):
            done = shell(line, directory)
            assert done.stdout.startswith(f"HTTP/1.1 {expected} "), (line, done)
            tried.append((expected, done.stdout))
        elif line.startswith("  ("):
            others.append(shell(line, directory))
    return tried, others


def body(answer: str) -> dict[str, object]:
    parsed = json.loads(answer.split("\n\n", 1)[1])
    assert isinstance(parsed, dict)
    return parsed


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_every_printed_line_does_what_it_says(tmp_path: Path) -> None:
    with demo(tmp_path, "--port", "0", "--directory", "my demo") as lines:
        tried, (listed, explained) = paste(lines, tmp_path)
        console = next(line.strip() for line in lines if line.endswith("/admin/"))
        page = shell(f"curl -s {console}", tmp_path)
        tail = shell(next(line for line in lines if " tail " in line) + " --once --last 100 --json", tmp_path)
    assert "<html" in page.stdout
    reasons = {decision["reason"] for decision in map(json.loads, tail.stdout.splitlines())}
    assert reasons >= {"allow", "missing_credentials", "expired_token", "insufficient_scope", "revoked_token"}, tail
    assert [status for status, _ in tried] == [200, 401, 401, 403, 200, 200, 200, 200, 204, 401, 200, 200]
    good, anonymous, expired, forbidden, *session, ready, metrics = (answer for _, answer in tried)
    assert '"X-User": "alice"' in good
    assert '"X-User-Issuer": "https://issuer.demo.example"' in good
    assert "root" not in good
    assert "Authorization" not in good
    assert 'WWW-Authenticate: Bearer realm="gateway"\n' in anonymous.replace("\r", "")
    assert "The access token expired" in expired
    assert 'scope="orders:write"' in forbidden
    login, with_token, exchanged, again, _, revoked = session
    assert body(login)["expires_in"]
    assert '"X-User-Issuer": "https://gateway.demo.example"' in with_token
    assert body(exchanged)["refresh_token"] == body(again)["refresh_token"] != body(login)["refresh_token"]
    assert body(exchanged)["access_token"] == body(again)["access_token"]
    assert "The access token was revoked" in revoked
    assert '"status": "ok"' in ready
    assert "gateway_requests_total" in metrics
    assert listed.returncode == 0, listed
    assert listed.stdout.count("web") == 1
    assert explained.returncode == 1, explained
    assert "DENY  401 expired_token" in explained.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_one_variable_moves_the_example_configuration_to_redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    redis = RedisServer(tmp_path / "redis").start()
    try:
        monkeypatch.setenv("STATE_URL", f"redis://127.0.0.1:{redis.port}")
        with demo(tmp_path, "--port", "0") as lines:
            tried, (listed, _) = paste(lines, tmp_path)
        kept = redis.run("DBSIZE")
    finally:
        redis.kill()
    assert kept > 0
    assert [status for status, _ in tried] == [200, 401, 401, 403, 200, 200, 200, 200, 204, 401, 200, 200]
    assert listed.returncode == 0, listed
    assert not (tmp_path / ".demo" / "gateway.db").exists()


def test_keys_are_reused_and_only_for_the_owner(tmp_path: Path) -> None:
    with demo(tmp_path, "--port", "0"):
        keys = [(tmp_path / ".demo" / name).read_bytes() for name in ("key.pem", "keys.json")]
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / ".demo").iterdir()}
    assert modes.pop("jwks.json") == 0o644
    assert set(modes.values()) == {0o600}
    with demo(tmp_path, "--port", "0"):
        assert [(tmp_path / ".demo" / name).read_bytes() for name in ("key.pem", "keys.json")] == keys


def test_a_taken_port_is_told_and_the_next_one_is_used(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with demo(tmp_path, "--port", str(port)) as lines:
            assert re.fullmatch(rf"Port {port} is taken, so this is \d+\.", lines[0])


def test_a_directory_that_cannot_be_used_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["demo", "--port", "0", "--directory", str(tmp_path / "file")]) == 1
    assert "the demo cannot run: " in capsys.readouterr().err


def test_a_store_that_must_not_be_used_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    redis = RedisServer(tmp_path / "redis", {"maxmemory-policy": "allkeys-lru"}).start()
    try:
        monkeypatch.setenv("STATE_URL", f"redis://127.0.0.1:{redis.port}")
        assert main(["demo", "--port", "0", "--directory", str(tmp_path / "demo")]) == 1
    finally:
        redis.kill()
    assert "the demo cannot run: Redis at " in capsys.readouterr().err


def test_no_free_port_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--port", "65536"]) == 1
    assert "no free port from 65536 on" in capsys.readouterr().err


def test_the_example_configuration_is_valid_without_any_variables_once_its_files_are_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith(("GATEWAY_", "STATE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "config.yaml", tmp_path)
    assert main(["check", "config.yaml"]) == 1
    assert "keys.json" in capsys.readouterr().err
    making = re.findall(r"(?m)^#   gateway (keys create|users add) (.*?)  ", (ROOT / "config.yaml").read_text())
    assert len(making) == 2
    monkeypatch.setattr("getpass.getpass", lambda prompt: "a good password")
    for command, names in making:
        assert main([*command.split(), *names.split()]) == 0
    assert main(["check", "config.yaml"]) == 0
    assert "accepted weaknesses" not in capsys.readouterr().out


def test_the_example_configuration_shows_every_section_and_what_is_off_is_valid_too() -> None:
    everything = re.sub(r"(?m)^( *)#(?=\S)", r"\1", (ROOT / "config.yaml").read_text())
    everything = re.sub(r"(?m)^( *)#$", r"\1", everything)
    loaded = load_text(everything, {})
    assert loaded.config.model_fields_set == set(Config.model_fields)


def test_every_section_of_the_example_configuration_has_a_line_of_explanation() -> None:
    lines = (ROOT / "config.yaml").read_text().splitlines()
    sections = [
        number for number, line in enumerate(lines) if re.match(r"#?(?!version|resource_metadata)[a-z_]+:", line)
    ]
    assert all(lines[number - 1].startswith("# ") for number in sections)


def test_the_package_brings_the_example_configuration_along(tmp_path: Path) -> None:
    """Installed, there is no repository: the wheel holds the same file where the demo looks first."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    [(source, place)] = settings["force-include"].items()
    assert config_file() == ROOT / source
    shutil.copytree(ROOT / "gateway", tmp_path / "gateway", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / source, tmp_path / place)
    code = "from gateway.commands.demo import config_file; print(config_file())"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(tmp_path / place)
