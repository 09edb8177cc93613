"""Manifests, as Helm and Kustomize make them, or as they stand in files."""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.tools import DEPLOY, python_with_tools, tool

CHART = DEPLOY / "helm" / "bearergate"
KUSTOMIZE = DEPLOY / "kustomize"
EXAMPLES = ("sidecar", "sidecar-unix-socket", "gateway", "redis")

Manifest = dict[str, Any]
Values = Mapping[str, Any]

_TEMPLATE = """
import json, sys
import helm_python
for values in json.load(sys.stdin):
    try:
        with helm_python.Chart.load(sys.argv[1]) as chart:
            chart.validate_schema(chart.merge_values(values))
            rendered = chart.render(values, name="edge", namespace="shop")
            text = "".join(f"---\\n{rendered[name]}\\n" for name in sorted(rendered) if name.endswith(".yaml"))
            print(json.dumps([text, ""]))
    except helm_python.HelmError as error:
        print(json.dumps(["", str(error)]))
"""
"""The same as `helm template`, by the library that the command is made of: one process for many values."""


class Refused(Exception):
    """Helm would not render."""


def chart_values(name: str) -> Any:
    """Return an example of values for the chart."""
    return yaml.safe_load((CHART / "ci" / f"{name}-values.yaml").read_text())


def templated(values: Values) -> list[Manifest]:
    """Return what the chart becomes with these values. Raises Refused."""
    [rendered] = all_templated(values)
    if isinstance(rendered, Refused):
        raise rendered
    return rendered


def all_templated(*values: Values) -> list[list[Manifest] | Refused]:
    """Return what the chart becomes with each of these values."""
    if helm := shutil.which("helm"):
        found = [_by_command(helm, each) for each in values]
    else:
        command = [python_with_tools(), "-c", _TEMPLATE, str(CHART)]
        run = subprocess.run(command, input=json.dumps(values), capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        found = [json.loads(line) for line in run.stdout.splitlines()]
    return [Refused(error) if error else _documents(text) for text, error in found]


def _by_command(helm: str, values: Values) -> tuple[str, str]:
    command = [helm, "template", "edge", str(CHART), "--namespace", "shop", "--kube-version", "1.30.0", "--values", "-"]
    run = subprocess.run(command, input=json.dumps(values), capture_output=True, text=True, check=False)
    return run.stdout, run.stderr if run.returncode else ""


def kustomized(name: str) -> list[Manifest]:
    """Return what Kustomize makes of an example."""
    kustomize = shutil.which("kustomize")
    command = [kustomize, "build"] if kustomize else [tool("kubectl"), "kustomize"]
    run = subprocess.run([*command, str(KUSTOMIZE / name)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return _documents(run.stdout)


def in_files(name: str) -> list[Manifest]:
    """Return the manifests of an example as they stand in its files, without patches."""
    return list(_in_files(KUSTOMIZE / name))


def _in_files(directory: Path) -> Iterator[Manifest]:
    kustomization = yaml.safe_load((directory / "kustomization.yaml").read_text())
    generated = kustomization.get("configMapGenerator", [])
    replaced = {each["name"] for each in generated if each.get("behavior") == "replace"}
    for resource in kustomization.get("resources", []):
        path = directory / resource
        for manifest in _in_files(path) if path.is_dir() else _documents(path.read_text()):
            if manifest["metadata"]["name"] not in replaced:
                yield manifest
    for each in generated:
        data = {file: (directory / file).read_text() for file in each["files"]}
        yield {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": each["name"]}, "data": data}


def _documents(text: str) -> list[Manifest]:
    return [document for document in yaml.safe_load_all(text) if document]


def only(manifests: list[Manifest], kind: str, name: str | None = None) -> Manifest:
    """Return the only manifest of a kind, and with this name."""
    found = [each for each in manifests if each["kind"] == kind and name in (None, each["metadata"]["name"])]
    assert len(found) == 1, [each["metadata"]["name"] for each in found]
    return found[0]


def pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Yield the specification of every pod, with the name of what it belongs to."""
    for manifest in manifests:
        if "template" in manifest.get("spec", {}):
            yield manifest["metadata"]["name"], manifest["spec"]["template"]["spec"]


def containers(pod: Manifest) -> dict[str, Manifest]:
    """Return all containers of a pod by name."""
    return {each["name"]: each for each in [*pod.get("initContainers", []), *pod["containers"]]}
