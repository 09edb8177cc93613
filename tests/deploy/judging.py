"""What is wrong with manifests: by the schemas of Kubernetes, by its restricted profile, and by `gateway check`."""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from gateway.cli import main
from gateway.commands.check import checked
from gateway.config.snapshot import Snapshot
from tests.deploy.rendering import Manifest, containers, pods
from tests.deploy.tools import python_with_tools
from tests.mechanisms.logins.hashing import cheap_bcrypt

VERSIONS = ("1.30", "1.37")
"""Of Kubernetes: the oldest that the manifests are for, and a new one."""
CUSTOM = Path(__file__).with_name("custom_resources.json")
"""Schemas of HTTPRoute (Gateway API 1.2.1) and of the kinds of the Prometheus operator 0.85.0, both Apache-2.0: without
descriptions, and with no other members than those they name."""

_VALIDATE = """
import functools, json, sys
import kubernetes_validate
from jsonschema import Draft202012Validator
from kubernetes_validate import utils
utils.schema_contents = functools.cache(utils.schema_contents)  # megabytes, read for each manifest anew
manifests, custom, versions = json.load(sys.stdin)
for manifest in manifests:
    called = f'{manifest["kind"]} {manifest["metadata"]["name"]}'
    schema = custom.get(f'{manifest["apiVersion"]}/{manifest["kind"]}')
    if schema is not None:
        for error in Draft202012Validator(schema).iter_errors(manifest):
            print(called, error.json_path, error.message)
        continue
    for version in versions:
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            print(called, version, list(error.path), error.message)
"""


def schema_mistakes(manifests: Sequence[Manifest]) -> list[str]:
    """Return what the schemas of Kubernetes do not allow."""
    question = json.dumps([manifests, json.loads(CUSTOM.read_text()), VERSIONS])
    run = subprocess.run(
        [python_with_tools(), "-c", _VALIDATE], input=question, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def privileges(manifests: Sequence[Manifest]) -> list[str]:
    """Return what the restricted profile of the Pod Security Standards does not allow, or we do not."""
    return [f"{name}: {what}" for name, pod in pods(list(manifests)) for what in _privileges(pod)]


def _privileges(pod: Manifest) -> Iterator[str]:
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(name):
            yield name
    if pod.get("automountServiceAccountToken") is not False:
        yield "a token for the API of Kubernetes"
    for volume in pod.get("volumes", []):
        if not volume.keys() <= {"name", "configMap", "secret", "emptyDir", "persistentVolumeClaim"}:
            yield f"volume {volume['name']}"
        if volume.get("secret", {}).get("defaultMode", 0o644 if "secret" in volume else 0) & 0o007:
            yield f"a secret that everybody in the pod can read: volume {volume['name']}"
    for name, container in containers(pod).items():
        around, own = pod.get("securityContext", {}), container.get("securityContext", {})
        wanted = {
            "runAsNonRoot": own.get("runAsNonRoot", around.get("runAsNonRoot")) is True,
            "seccompProfile": own.get("seccompProfile", around.get("seccompProfile")) == {"type": "RuntimeDefault"},
            "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
            "capabilities": own.get("capabilities") == {"drop": ["ALL"]},
            "readOnlyRootFilesystem": own.get("readOnlyRootFilesystem") is True,
            "hostPort": not any("hostPort" in port for port in container.get("ports", [])),
        }
        yield from (f"{name}: {what}" for what, is_so in wanted.items() if not is_so)


def snapshot_of(text: str, directory: Path, environment: Mapping[str, str] | None = None) -> Snapshot:
    """Return what a gateway makes of a configuration whose files are in /etc/gateway. Raises ConfigMistakes."""
    for name in ("keys", "users", "redis", "gateway-keys", "gateway-users", "gateway-admin"):
        (directory / "secrets" / name).mkdir(parents=True)
    for keys in ("keys", "gateway-keys"):
        assert main(["keys", "create", str(directory / "secrets" / keys / "keys.json")]) == 0
    for users in ("users", "gateway-users"):
        (directory / "secrets" / users / "users").write_text(f"alice:{cheap_bcrypt(b'a password')}\n")
    (directory / "secrets/redis/password").write_text("a password")
    (directory / "secrets/gateway-admin/token").write_text("a-token-of-operators-that-is-long-enough")
    file = directory / "config.yaml"
    file.write_text(text.replace("/etc/gateway/", f"{directory}/"))
    return checked(file, environment or {})
