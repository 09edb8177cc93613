"""What the page about Kubernetes shows is rendered by Helm, and is what the gateway takes."""

import shutil
from pathlib import Path

import yaml

from tests.deploy.rendering import Refused, all_templated, only
from tests.pages.blocks import ROOT, blocks
from tests.pages.trying import run
from tests.pages.typing_in import assert_shown, typed

PAGE = "docs/kubernetes.md"


def test_every_file_of_values_becomes_a_good_configuration(tmp_path: Path) -> None:
    first, beside, sessions = (yaml.safe_load(block.text) for block in blocks(PAGE, "yaml"))
    sessions["config"] = {**first["config"], **sessions["config"]}  # the third adds to the first
    for values in all_templated(first, beside, sessions):
        assert not isinstance(values, Refused), values
        text = only(values, "ConfigMap")["data"]["config.yaml"]
        text = text.replace("/etc/gateway/secrets/gateway-keys/", "").replace("/etc/gateway/secrets/gateway-users/", "")
        (tmp_path / "config.yaml").write_text(text.replace("${STATE_URL}", "redis://redis:6379"))
        if not (tmp_path / "keys.json").exists():
            run("keys", "create", "keys.json", at=tmp_path)
            (tmp_path / "users").touch(0o600)
        assert "is valid" in run("check", "config.yaml", at=tmp_path)


def test_what_is_typed_renders_checks_and_makes_secrets(tmp_path: Path) -> None:
    """Without `helm` its library renders; without `kubectl` only the files are looked for that it would read."""
    values = tmp_path / "values.yaml"
    values.write_text(blocks(PAGE, "yaml")[0].text)
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    [rendered] = all_templated(yaml.safe_load(values.read_text()))
    assert not isinstance(rendered, Refused)
    (tmp_path / "rendered").write_text(yaml.safe_dump(only(rendered, "ConfigMap")))
    tools = [
        "PASSWORD=secret",
        'kubectl() { command kubectl "$@" --dry-run=client --output=name; }'
        if shutil.which("kubectl")
        else 'kubectl() { for each; do case $each in --from-file=*) test -s "${each#*=}";; esac; done; echo "$4"; }',
        "" if shutil.which("helm") else "helm() { cat rendered; }",
    ]
    said = typed([*tools, *(block.text for block in blocks(PAGE, "sh"))], tmp_path)
    assert_shown(["config.yaml is valid", "gateway-keys", "gateway-users", "gateway-redis", "gateway-redis"], said)
