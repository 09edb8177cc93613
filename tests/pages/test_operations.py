"""What operators are told to type does what the pages show."""

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.clients.processes import until_ready
from tests.deploy.monitoring import RULES
from tests.deploy.tools import tool
from tests.pages.blocks import ROOT, blocks
from tests.pages.trying import (
    GATEWAY,
    PASSWORD,
    SESSIONS,
    answer,
    issuer_at,
    minted,
    own_keys_at,
    run,
    running,
    whole,
)
from tests.pages.typing_in import answers, assert_shown, commands, typed
from tests.ports import free_port
from tests.trips.servers import required


def gateway_at(directory: Path, text: str = "", **more: object) -> str:
    """Write a configuration with an ops address, and return this."""
    issuer_at(directory)
    ops = f"127.0.0.1:{free_port()}"
    changes = {"listen": [{"address": f"127.0.0.1:{free_port()}"}], "ops": {"address": ops}, **more}
    config = yaml.safe_load(whole(text or yaml.safe_dump(changes)))
    del config["state"]
    (directory / "config.yaml").write_text(yaml.safe_dump({**config, **more}))
    return ops


def test_keys_are_rotated_as_the_page_says(tmp_path: Path) -> None:
    run("keys", "create", "keys.json", at=tmp_path)
    before = (tmp_path / "keys.json").read_text()
    typed(commands(blocks("docs/rotation.md", "sh")), tmp_path)
    assert (tmp_path / "keys.json").read_text() == before, "nothing was due"


def test_the_script_does_what_the_page_says() -> None:
    script = (ROOT / "deploy" / "rotation" / "rotate-keys.sh").read_text()
    (block,) = blocks("docs/rotation.md", "sh")
    for line in block.text.splitlines():
        words = re.sub(r"\d+d$", "", line.removeprefix("gateway ").replace("keys.json", "")).split()
        assert any(set(words) <= set(each.split()) for each in script.splitlines()), line


def test_the_three_commands_of_the_runbook_answer(tmp_path: Path) -> None:
    ops = gateway_at(tmp_path)
    (tmp_path / "token").write_text(minted(tmp_path, "https://id.example.com", {"sub": "alice", "aud": "api"}))
    (block,) = blocks("docs/runbook.md", "sh")
    check, explain, ready = block.text.splitlines()
    assert explain.partition("#")[0].rstrip().endswith("--token -")
    lines = [check, explain.partition("#")[0] + "< token", ready.replace("127.0.0.1:9090", ops)]
    with running([*GATEWAY, "serve", "config.yaml"], tmp_path):
        until_ready(ops)
        assert_shown(["config.yaml is valid", "ALLOW", '"status": "ok"'], typed(lines, tmp_path))


def test_a_gateway_that_drains_is_not_ready(tmp_path: Path) -> None:
    ops = gateway_at(tmp_path, timeouts={"drain_delay": "10m"})
    page = blocks("docs/docker.md", "console")
    with running([*GATEWAY, "serve", "config.yaml"], tmp_path) as process:
        until_ready(ops)
        process.send_signal(signal.SIGTERM)
        said = typed([f"until {line}; [ $? = 1 ]; do sleep 0.1; done" for line in commands(page)], tmp_path)
    assert_shown(answers(page), said)


def test_the_doctor_finds_what_the_page_shows(tmp_path: Path) -> None:
    own_keys_at(tmp_path)
    (tmp_path / "keys.json").chmod(0o644)
    with running([sys.executable, "-m", "http.server", str(port := free_port()), "--bind", "127.0.0.1"], tmp_path):
        assert answer(f"http://127.0.0.1:{port}/")[0] == 200
        gateway_at(
            tmp_path,
            ops={"address": "0.0.0.0:9090"},
            state={"url": "sqlite:gateway.db"},
            sessions=yaml.safe_load(SESSIONS),
            upstreams={"app": {"targets": [f"http://127.0.0.1:{port}"]}},
        )
        page = blocks("docs/doctor.md", "console")
        said = typed([f"{line} || [ $? = 1 ]" for line in commands(page)], tmp_path)
    assert_shown([re.sub(r"(CPUs that may be used|advice|ok): \d+", r"\1: …", line) for line in answers(page)], said)


def test_a_preset_is_tried_as_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("GATEWAY_LISTEN", address)
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    first, second = blocks("docs/presets/README.md", "sh")
    begin = first.text.replace("gateway serve seed0.yaml", "gateway serve seed0.yaml > log 2>&1 &")
    log_in = second.text.replace("127.0.0.1:8080", address).replace("password=…", f"password={PASSWORD}")
    said = typed([begin, log_in.replace("curl", "curl -s --retry 60 --retry-delay 1 --retry-connrefused")], tmp_path)
    assert_shown(["seed0.yaml is valid", "HTTP/1.1 200 OK", "refresh_token"], said)


def test_a_reader_of_the_admin_api_learns_who_it_is(tmp_path: Path) -> None:
    ops, admin = gateway_at(tmp_path), f"127.0.0.1:{free_port()}"
    *make, ask = commands(blocks("docs/admin-api.md", "console"))
    typed(make, tmp_path)
    api = yaml.safe_load(blocks("docs/admin-api.md", "yaml")[0].text)["admin"]
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({**config, "admin": {**api, "address": admin}}))
    with running([*GATEWAY, "serve", "config.yaml"], tmp_path):
        until_ready(ops)
        assert_shown(['"role": "read"'], typed([ask.replace("127.0.0.1:9091", admin)], tmp_path))


def test_prometheus_takes_its_configuration(tmp_path: Path) -> None:
    (block,) = blocks("docs/metrics.md", "yaml")
    (tmp_path / "prometheus.yml").write_text(block.text)
    shutil.copy(RULES, tmp_path / "rules.yaml")
    done = subprocess.run(
        [required("promtool"), "check", "config", "prometheus.yml"], cwd=tmp_path, capture_output=True
    )
    assert done.returncode == 0, done


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    files = []
    for block in blocks("docs/operations.md", "ini"):
        name = block.text.splitlines()[0].removeprefix("# ")
        files.append(tmp_path / name)
        files[-1].write_text(re.sub("/opt/gateway/bin/gateway|/bin/kill", sys.executable, block.text))
    command = [tool("systemd-analyze"), "verify", "--man=no", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stderr, done.returncode) == ("", 0)
