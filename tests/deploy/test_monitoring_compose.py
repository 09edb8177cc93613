"""The compose file says what it should, and what it starts works together: the same files, as processes."""

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml

from tests.clients.processes import until_ready
from tests.deploy.monitoring import ROOT, dashboard
from tests.ports import free_port
from tests.state.redis_servers import server_of
from tests.trips.servers import required

COMPOSE = ROOT / "deploy" / "compose"
PASSWORD = "only-to-try-it"
PATIENCE = 30.0
KEYS = {
    *("name", "services", "volumes"),
    *("image", "build", "entrypoint", "command", "environment", "user", "ports", "network_mode", "depends_on"),
    *("read_only", "cap_drop", "security_opt", "tmpfs", "healthcheck", "stop_grace_period", "restart"),
}
"""What is used of the Compose Specification, at the top and in services."""


def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text())
    return document


SERVICES: dict[str, dict[str, Any]] = compose()["services"]


def mounts(service: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is mounted, and where."""
    for volume in service.get("volumes", ()):
        source, target, *mode = volume.split(":")
        assert mode in ([], ["ro"])
        yield source, target


def test_it_uses_words_of_the_specification_only() -> None:
    document = {key: value for key, value in compose().items() if not key.startswith("x-")}
    assert document.keys() <= KEYS
    for service in SERVICES.values():
        assert service.keys() <= KEYS


def test_every_file_that_is_mounted_is_there_and_every_volume_is_declared() -> None:
    for service in SERVICES.values():
        for source, _ in mounts(service):
            assert (COMPOSE / source).is_file() if source.startswith(".") else source in compose()["volumes"], source


def test_every_service_that_another_waits_for_is_there() -> None:
    for service in SERVICES.values():
        for name, condition in service.get("depends_on", {}).items():
            assert name in SERVICES
            if condition["condition"] == "service_healthy":
                assert "test" in SERVICES[name]["healthcheck"]


def test_nothing_is_reached_from_another_machine_and_images_are_pinned() -> None:
    for service in SERVICES.values():
        assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in service.get("ports", ()))
        assert service["image"] == "gateway:local" or re.fullmatch(r"[\w/]+:v?\d+\.\d[\w.-]*", service["image"])
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])


def test_grafana_finds_the_dashboard_and_prometheus_the_rules() -> None:
    provider = yaml.safe_load((COMPOSE / "grafana" / "dashboards.yaml").read_text())["providers"][0]
    mounted = {
        target: (COMPOSE / source).resolve() for service in SERVICES.values() for source, target in mounts(service)
    }
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home.startswith(provider["options"]["path"])
    assert json.loads(mounted[home].read_text()) == dashboard()
    settings = yaml.safe_load((COMPOSE / "prometheus.yaml").read_text())
    assert mounted[settings["rule_files"][0]] == ROOT / "deploy" / "monitoring" / "rules.yaml"
    assert settings["scrape_configs"][0]["job_name"] == "gateway"
    source = yaml.safe_load((COMPOSE / "grafana" / "datasources.yaml").read_text())["datasources"][0]
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")


def test_promtool_accepts_the_settings_of_prometheus() -> None:
    command = [required("promtool"), "check", "config", "--syntax-only", str(COMPOSE / "prometheus.yaml")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_alice_logs_in_and_the_service_learns_who_she_is(tmp_path: Path) -> None:
    """What setup makes is taken by `gateway check`, and again after a second setup; then all runs as compose has it."""
    ports = {name: free_port() for name in ("listen", "ops", "upstream")}
    with server_of(tmp_path / "redis") as redis:
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "ALICE_PASSWORD": SERVICES["setup"]["environment"]["ALICE_PASSWORD"].removeprefix("${ALICE_PASSWORD:-")[
                :-1
            ],
            "GATEWAY_HOUSE": str(tmp_path),
            "GATEWAY_UPSTREAM": f"http://127.0.0.1:{ports['upstream']}",
            "STATE_URL": f"redis://127.0.0.1:{redis.port}",
        }
        for _ in range(2):
            _run(environment, str(COMPOSE / "setup.py"), str(tmp_path))
        _run(environment, "-m", "gateway", "check", str(COMPOSE / "config.yaml"))
        settings = (COMPOSE / "config.yaml").read_text()
        config = tmp_path / "config.yaml"
        here = settings.replace("0.0.0.0:8080", f"127.0.0.1:{ports['listen']}")
        config.write_text(here.replace("0.0.0.0:9090", f"127.0.0.1:{ports['ops']}"))
        url = f"http://127.0.0.1:{ports['listen']}"
        with (
            _running(environment, str(COMPOSE / "upstream.py"), str(ports["upstream"])),
            _running(environment, "-m", "gateway", "serve", str(config)),
        ):
            until_ready(f"127.0.0.1:{ports['ops']}")
            tokens = _asked(f"{url}/auth/login", urlencode({"username": "alice", "password": PASSWORD}).encode())
            headers = {"Authorization": f"Bearer {tokens['access_token']}", "X-User": "root"}
            seen = _asked(f"{url}/api/orders", headers=headers)
            assert (seen["method"], seen["headers"]["X-User"]) == ("GET", "alice")
            assert "Authorization" not in seen["headers"]
            with pytest.raises(urllib.error.HTTPError) as answer:
                _asked(f"{url}/public/x?status=418")
            with answer.value as error:
                assert error.code == 418


def _run(environment: dict[str, str], *words: str) -> None:
    done = subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def _running(environment: dict[str, str], *words: str) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, *words], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _asked(url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    with urllib.request.urlopen(urllib.request.Request(url, body, headers or {}), timeout=PATIENCE) as response:
        answer: dict[str, Any] = json.load(response)
        return answer
