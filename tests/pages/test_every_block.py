"""No block of a page is left out: it is tried, or it says why not."""

import json
import re
import tomllib
from collections import Counter

from tests.pages.blocks import PAGES, ROOT, every_block

TRIED = {
    ("README.md", "sh"): "test_readme.py",
    ("README.md", "console"): "test_readme.py",
    ("docs/admin-api.md", "console"): "test_operations.py",
    ("docs/admin-api-reference.md", "json"): "tests/admin/test_openapi.py",
    ("docs/cli.md", "console"): "test_cli.py",
    ("docs/clients.md", "js"): "tests/clients/test_client_guide.py",
    ("docs/clients.md", "python"): "tests/clients/test_client_guide.py",
    ("docs/docker.md", "console"): "test_operations.py",
    ("docs/doctor.md", "console"): "test_operations.py",
    ("docs/guides/applications.md", "js"): "test_applications.py",
    ("docs/guides/applications.md", "python"): "test_applications.py",
    ("docs/guides/issuers.md", "json"): "test_issuers.py",
    ("docs/kubernetes.md", "sh"): "test_kubernetes.py",
    ("docs/operations.md", "ini"): "test_operations.py",
    ("docs/policy-tests.md", "console"): "tests/commands/test_test.py",
    ("docs/presets/README.md", "sh"): "test_operations.py",
    ("docs/quick-start.md", "sh"): "test_quick_start.py",
    ("docs/quick-start.md", "console"): "test_quick_start.py",
    ("docs/rotation.md", "sh"): "test_operations.py",
    ("docs/runbook.md", "sh"): "test_operations.py",
}
"""Who tries all blocks of a page that are in one language. YAML: test_configurations.py, on every page."""

NOT_RUN = {
    "README.md": 1,
    "docs/console.md": 1,
    "docs/docker.md": 4,
    "docs/fuzzing.md": 1,
    "docs/guides/from-oathkeeper.md": 1,
    "docs/guides/from-oauth2-proxy.md": 1,
    "docs/guides/sidecar.md": 1,
    "docs/kubernetes.md": 2,
    "docs/quick-start.md": 1,
    "docs/releasing.md": 1,
    "docs/systemd.md": 2,
    "docs/traces.md": 1,
}
"""How many blocks of each page cannot be tried. Each says why."""

PICTURES = {"text"}
"""Languages of what is only looked at."""


def test_every_fence_is_understood() -> None:
    fences = sum(len(re.findall(r"(?m)^ *(?:```|~~~)", page.read_text())) for page in PAGES)
    assert len(list(every_block())) * 2 == fences


def test_every_block_is_tried_or_says_why_not() -> None:
    untried = {
        (block.page, block.language)
        for block in every_block()
        if not block.reason and block.language not in {"yaml", *PICTURES}
    }
    assert untried == TRIED.keys()
    assert Counter(block.page for block in every_block() if block.reason) == NOT_RUN


def test_what_is_shown_as_json_is_json() -> None:
    """One object, or one a line."""
    for text in (block.text for block in every_block() if block.language == "json"):
        try:
            json.loads(text)
        except ValueError:
            assert [json.loads(line) for line in text.splitlines()]


def test_what_tries_them_is_there() -> None:
    assert [
        name for name in set(TRIED.values()) if not any((ROOT / at / name).exists() for at in ("", "tests/pages"))
    ] == []


def test_what_blocks_name_in_the_repository_is_there() -> None:
    """Also in blocks that nobody can try."""
    files = {
        (block.page, found)
        for block in every_block()
        for found in re.findall(r"(?<![\w./-])(?:deploy|docs|tests|locks)/[\w./-]+\w", block.text)
    }
    assert [each for each in sorted(files) if not (ROOT / each[1]).exists()] == []


def test_what_blocks_make_and_install_can_be_made_and_installed() -> None:
    text = "\n".join(block.text for block in every_block() if block.language in {"sh", "console"})
    targets = set(re.findall(r"(?m)^([\w-]+):", (ROOT / "Makefile").read_text()))
    assert set(re.findall(r"(?m)^(?:\$ )?make ([\w-]+)", text)) <= targets
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(re.findall(r"bearergate\[(\w+)\]", text)) <= project["optional-dependencies"].keys()
