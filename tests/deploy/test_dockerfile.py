"""What can be said of the image without building it."""

import json
import re
import subprocess
from fnmatch import fnmatch

import pytest

from tests.deploy.tools import ROOT, tool

_CONTINUED = re.compile(r"\\\n(?:[ \t]*#.*\n)*")


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile, in order."""
    lines = _CONTINUED.sub(" ", (ROOT / "Dockerfile").read_text()).splitlines()
    words = (line.split(None, 1) for line in lines if line.strip() and not line.startswith("#"))
    return [(instruction, " ".join(rest.split())) for instruction, rest in words]


def stages() -> list[list[tuple[str, str]]]:
    """Return the instructions of each stage."""
    found: list[list[tuple[str, str]]] = []
    for instruction, rest in instructions():
        if instruction == "FROM":
            found.append([])
        if found:
            found[-1].append((instruction, rest))
    return found


def of(instruction: str, stage: list[tuple[str, str]]) -> list[str]:
    return [rest for name, rest in stage if name == instruction]


def test_a_linter_finds_nothing() -> None:
    lint = subprocess.run(
        [tool("hadolint"), "--no-color", str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False
    )
    assert (lint.stdout, lint.returncode) == ("", 0)


def test_the_base_is_one_release_and_can_be_pinned_to_a_digest() -> None:
    assert re.fullmatch(r"BASE=debian:trixie-20\d{6}-slim", instructions()[0][1])
    assert [rest.split(" AS ")[0] for stage in stages() for rest in of("FROM", stage)] == [
        "${BASE}",
        "${BASE}",
        "scratch",
    ]


def test_what_is_copied_is_there_and_reaches_the_builder() -> None:
    passed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copies = [rest.split() for rest in of("COPY", stages()[0])]
    sources = [source for words in copies for source in words[:-1]]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert source.split("/")[0] in passed, source


def test_nothing_else_reaches_the_builder() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[0] == "*"
    assert {line for line in ignored if line.startswith("!")} == {
        *("!gateway", "!locks", "!pyproject.toml", "!README.md", "!LICENSE", "!hatch_build.py", "!config.yaml")
    }
    assert any(fnmatch("gateway/model/memo.cpython-313-x86_64-linux-gnu.so", line) for line in ignored[1:])


def test_packages_are_those_of_the_locks() -> None:
    installs = re.findall(r"pip install ([^&]*)", of("RUN", stages()[0])[1])
    assert len(installs) == 2
    assert all(each.startswith("--require-hashes -r locks/") for each in installs)


def test_the_image_has_no_shell_and_asks_for_none() -> None:
    *_, last = stages()
    assert of("RUN", last) == []
    assert of("SHELL", last) == []
    assert all(isinstance(json.loads(command), list) for command in [*of("ENTRYPOINT", last), *of("CMD", last)])
    [health] = of("HEALTHCHECK", last)
    packages = of("RUN", stages()[1])[0].partition("apt-get download ")[2]
    assert not re.search(r"\b(bash|dash|busybox|coreutils)\b", packages)
    assert json.loads(health.partition(" CMD ")[2])[:2] == ["gateway", "health"]


def test_nobody_runs_it_as_root() -> None:
    [user] = of("USER", stages()[-1])
    uid, _, gid = user.partition(":")
    assert int(uid) > 0
    assert int(gid) > 0


def test_the_health_check_reads_the_configuration_that_is_served() -> None:
    *_, last = stages()
    [health] = of("HEALTHCHECK", last)
    [command] = of("CMD", last)
    assert json.loads(health.partition(" CMD ")[2])[-1] == json.loads(command)[-1]


@pytest.mark.parametrize("label", ["title", "description", "licenses", "version", "revision"])
def test_the_image_is_labelled(label: str) -> None:
    assert any(f"org.opencontainers.image.{label}=" in rest for rest in of("LABEL", stages()[-1]))
