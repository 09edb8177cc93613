"""The plain manifests are what Kubernetes takes, and what the gateway understands."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.judging import privileges, schema_mistakes, snapshot_of
from tests.deploy.rendering import EXAMPLES, KUSTOMIZE, containers, in_files, kustomized, only, pods
from tests.ports import free_port


def test_kubernetes_takes_the_files() -> None:
    assert schema_mistakes([manifest for name in EXAMPLES for manifest in in_files(name)]) == []


def test_kubernetes_takes_what_kustomize_makes_of_them() -> None:
    manifests = [manifest for name in EXAMPLES for manifest in kustomized(name)]
    assert schema_mistakes(manifests) == []
    assert privileges(manifests) == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_container_has_privileges(name: str) -> None:
    assert privileges(in_files(name)) == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_gateway_understands_its_configuration(name: str, tmp_path: Path) -> None:
    manifests = in_files(name)
    text = only(manifests, "ConfigMap", "gateway-config")["data"]["config.yaml"]
    config = snapshot_of(text, tmp_path, {"STATE_URL": "redis://redis:6379"}).config
    pod = next(pod for _, pod in pods(manifests) if "gateway" in containers(pod))
    gateway = containers(pod)["gateway"]
    assert [listener.address.port for listener in config.listen] == [gateway["ports"][0]["containerPort"]]
    assert pod["terminationGracePeriodSeconds"] > config.timeouts.drain_delay + config.timeouts.drain
    assert gateway["args"] == ["serve", "/etc/gateway/config/config.yaml"]


def test_the_patch_names_the_files_of_the_configuration() -> None:
    patch = yaml.safe_load((KUSTOMIZE / "redis" / "gateway-patch.yaml").read_text())
    [gateway] = patch["spec"]["template"]["spec"]["containers"]
    text = (KUSTOMIZE / "redis" / "config.yaml").read_text()
    assert all(mount["mountPath"] in text for mount in gateway["volumeMounts"])


def test_redis_takes_its_configuration(tmp_path: Path) -> None:
    if (server := shutil.which("redis-server")) is None:
        pytest.skip("redis-server is not here")
    port = free_port()
    (tmp_path / "auth.conf").write_text("requirepass secret\n")
    text = (KUSTOMIZE / "redis" / "redis.conf").read_text()
    changed = {"port 6379": f"port {port}", "dir /data": f"dir {tmp_path}", "/etc/redis/secret": str(tmp_path)}
    for old, new in changed.items():
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "redis.conf").write_text(text)
    redis = subprocess.Popen([server, str(tmp_path / "redis.conf")], stdout=subprocess.PIPE, text=True)
    try:
        assert redis.stdout is not None
        assert any("Ready to accept connections" in line for line in redis.stdout)
    finally:
        redis.terminate()
        redis.communicate(timeout=30)
