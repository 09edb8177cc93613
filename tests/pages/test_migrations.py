"""Whatever the migration guides name on our side is there: settings, paths, commands."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from gateway.config.sessions import SessionsSettings, own_paths
from tests.pages.blocks import DOCS

SCHEMA = json.loads((DOCS / "config.schema.json").read_text())
PAGES = ("from-oauth2-proxy.md", "from-oathkeeper.md")
OTHERS = {"aud", "kid", "{id}", "/**", "redis://…"}
"""What is no setting: members of a token, patterns of paths, URLs."""


def named(page: str) -> list[str]:
    """Return all that stands in backquotes on our side of the table."""
    rows = [line for line in (DOCS / "guides" / page).read_text().splitlines() if line.startswith("|")]
    ours = [row.strip("|").split("|")[1] for row in rows[2:]]
    return [each for cell in ours for each in re.findall(r"`([^`]+)`", cell)]


def inside(node: Any) -> Iterator[dict[str, Any]]:
    """Yield a schema, and what it refers to and may be instead."""
    yield node
    if "$ref" in node:
        yield from inside(SCHEMA["$defs"][node["$ref"].rpartition("/")[2]])
    for choice in ("anyOf", "oneOf", "allOf"):
        for each in node.get(choice, ()):
            yield from inside(each)


def below(nodes: list[Any], step: str) -> list[Any]:
    """Return the schemas one step further: an element, any name, or a setting."""
    each = [node for one in nodes for node in inside(one)]
    match step:
        case "[]":
            return [node["items"] for node in each if isinstance(node.get("items"), dict)]
        case "<name>":
            patterns = [pattern for node in each for pattern in node.get("patternProperties", {}).values()]
            rest = [node.get("additionalProperties") for node in each]
            return [*patterns, *(node for node in rest if isinstance(node, dict))]
    return [node["properties"][step] for node in each if step in node.get("properties", {})]


def is_setting(path: str) -> bool:
    nodes = [SCHEMA]
    for step in re.findall(r"<name>|\[\]|\w+", path):
        nodes = below(nodes, step)
    return bool(nodes)


EVERYWHERE = {name for node in (SCHEMA, *SCHEMA["$defs"].values()) for name in node.get("properties", {})}
"""The names of all settings, wherever they are."""


def keys_in(text: str) -> Iterator[str]:
    """Yield the settings that a piece of YAML sets."""
    stack = [yaml.safe_load(text)]
    while stack:
        match stack.pop():
            case dict() as mapping:
                yield from mapping
                stack += mapping.values()
            case list() as elements:
                stack += elements


def is_there(text: str) -> bool:
    if text in OTHERS:
        return True
    if text.startswith("/"):
        return text in {"/healthz", "/readyz", "/metrics"} | {path for _, path, _ in own_paths(_any_sessions())}
    if text.startswith("gateway "):
        return text.split()[1] in {"check", "explain", "test"}
    if ": " in text:
        return set(keys_in(text)) <= EVERYWHERE
    if "." in text or "[]" in text or "<name>" in text:
        return is_setting(text)
    return text in EVERYWHERE


def _any_sessions() -> SessionsSettings:
    return SessionsSettings.model_validate(
        {
            "issuer": "https://gw.example",
            "audiences": ["api"],
            "key_file": "keys.json",
            "clients": {"web": {"type": "public"}},
            "login": {"users": {"file": "users"}},
        }
    )


@pytest.mark.parametrize("page", PAGES)
def test_everything_named_on_our_side_is_there(page: str) -> None:
    assert len(named(page)) > 20
    assert [each for each in named(page) if not is_there(each)] == []


@pytest.mark.parametrize(
    "name", ["no_such", "routes[].no_such", "upstreams.<name>.no", "require: [{no_such: x}]", "/no"]
)
def test_nothing_else_would_be(name: str) -> None:
    assert not is_there(name)
