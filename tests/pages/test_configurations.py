"""Every configuration on a page is one that the gateway takes."""

from pathlib import Path

import pytest

from tests.pages.blocks import Block, every_block
from tests.pages.trying import issuer_at, own_keys_at, run, whole
from tests.trips.certificates import make_authority

ELSEWHERE = {
    ("docs/kubernetes.md", ""): "values of the chart: test_kubernetes.py",
    ("docs/metrics.md", ""): "the configuration of Prometheus: test_operations.py",
    ("docs/policy-tests.md", ""): "a configuration and its cases: tests/commands/test_test.py",
}
"""YAML that is not the configuration of a gateway, by page and title, and who tries it."""

SECRETS = {
    "redis.password": "of no use",
    "sentinel.password": "of no use",
    "traces.headers": "X-Secret: of no use",
    "admin.token": "a-token-of-operators-that-is-long-enough",
    "admin-read.token": "a-token-of-readers-that-is-long-enough",
}
"""What files hold that pages name."""

CONFIGURATIONS = [
    each
    for each in every_block()
    if each.language == "yaml" and not each.reason and (each.page, each.title) not in ELSEWHERE
]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with all files that pages name."""
    directory = tmp_path_factory.mktemp("house")
    issuer_at(directory)
    run("token", "key", "--private", "identity.pem", "--jwks", "identity.json", at=directory)
    own_keys_at(directory)
    for name, secret in SECRETS.items():
        (directory / name).touch(0o600)
        (directory / name).write_text(secret)
    certificate, key = make_authority(directory).issue("localhost")
    for name, file in {"admin.pem": certificate, "admin.key": key, "operators-ca.pem": certificate}.items():
        (directory / name).symlink_to(file)
    return directory


@pytest.mark.parametrize("config", CONFIGURATIONS, ids=lambda block: f"{block.page}-{block.title}")
def test_every_configuration_is_good(config: Block, house: Path) -> None:
    (house / "config.yaml").write_text(whole(config.text))
    assert "config.yaml is valid" in run("check", "config.yaml", at=house)
