"""openid-client and oauth4webapi, as they are, at a gateway over TLS. The scripts are in `node/`."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.conftest import Issuer
from tests.clients.processes import AUDIENCE, SCOPE, SECRET, opened
from tests.trips.servers import required

HERE = Path(__file__).parent / "node"


@pytest.fixture(scope="session")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the scripts, with the packages that the lock names."""
    required("node")
    if _has_packages(HERE):
        return HERE
    npm = required("npm")
    copy = tmp_path_factory.mktemp("clients") / "node"
    shutil.copytree(HERE, copy, ignore=shutil.ignore_patterns("node_modules"))
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return copy


def _has_packages(directory: Path) -> bool:
    packages = json.loads((directory / "package-lock.json").read_text())["packages"]
    return all(
        _version(directory / name / "package.json") == package["version"] for name, package in packages.items() if name
    )


def _version(file: Path) -> str | None:
    return str(json.loads(file.read_text())["version"]) if file.exists() else None


@pytest.fixture
def node(scripts: Path, issuer: Issuer) -> Callable[..., None]:
    """Runs a script. What it should know beside the usual are keywords."""

    def run(script: str, **more: str) -> None:
        known = {"issuer": issuer.url, "resource": f"{issuer.url}/api", "audience": AUDIENCE} | more
        environment = {
            **os.environ,
            "GATEWAY": json.dumps({**known, "scope": SCOPE, "secret": SECRET}),
            "NODE_EXTRA_CA_CERTS": issuer.ca,
        }
        done = subprocess.run(
            ["node", script], cwd=scripts, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    return run


@pytest.mark.parametrize("script", ["openid_client.mjs", "oauth4webapi.mjs"])
def test_the_library_finds_refreshes_repeats_uses_introspects_and_revokes(
    node: Callable[..., None], script: str
) -> None:
    """C145, C148"""
    node(script)


def test_both_libraries_tell_an_outage_from_the_end_of_a_session(
    node: Callable[..., None], issuer: Issuer, request: pytest.FixtureRequest
) -> None:
    """C100"""
    tokens = opened(issuer.url, issuer.ca)
    request.getfixturevalue("no_store")
    node("outage.mjs", refresh_token=tokens["refresh_token"])
