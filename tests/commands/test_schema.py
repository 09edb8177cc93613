"""`gateway schema`: the configuration's JSON schema and reference."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from gateway.commands.schema import json_schema
from gateway.commands.showing.reference import reference

DOCS = Path(__file__).parents[2] / "docs"


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["schema", *words]) == 0
    return capsys.readouterr().out


def settings() -> Iterator[tuple[str, Mapping[str, Any]]]:
    schema = json_schema()
    for model in (schema, *schema["$defs"].values()):
        yield from model.get("properties", {}).items()


def test_the_committed_schema_is_current(capsys: pytest.CaptureFixture[str]) -> None:
    """If this fails: gateway schema > docs/config.schema.json"""
    assert (DOCS / "config.schema.json").read_text() == printed(capsys)


def test_the_committed_reference_is_current(capsys: pytest.CaptureFixture[str]) -> None:
    """If this fails: gateway schema --format markdown > docs/configuration.md"""
    assert (DOCS / "configuration.md").read_text() == printed(capsys, "--format", "markdown")


def test_the_schema_says_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    schema = json.loads(printed(capsys))
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == "Gateway configuration"
    assert schema["required"] == ["listen", "upstreams", "routes"]
    assert schema["additionalProperties"] is False


def test_every_setting_is_described() -> None:
    assert [name for name, setting in settings() if not (setting.get("description") or "$ref" in setting)] == []


def test_addresses_are_written_as_text() -> None:
    definitions = json_schema()["$defs"]
    listen, targets = definitions["Listener"]["properties"], definitions["UpstreamSettings"]["properties"]
    for schema in (listen["address"], targets["targets"]["items"]):
        resolved = definitions[schema["$ref"].removeprefix("#/$defs/")] if "$ref" in schema else schema
        assert resolved["type"] == "string"


def test_every_setting_is_in_the_reference() -> None:
    text = reference(json_schema())
    assert [name for name, _ in settings() if not re.search(rf"^\| `(?:[^`]*\.)?{name}` \|", text, re.MULTILINE)] == []


def test_every_link_leads_to_a_heading() -> None:
    text = reference(json_schema())
    titles = re.findall(r"^## (.*)$", text, re.MULTILINE)
    headings = {re.sub(r"[^a-z0-9 _-]", "", title.lower()).replace(" ", "-") for title in titles}
    links = set(re.findall(r"\]\(#([^)]*)\)", text))
    assert links - headings == set()
    assert headings - links == {"top-level"}


@pytest.mark.parametrize(
    "row",
    [
        "| `timeouts.head` | duration | `10s` |",
        "| `limits.token_bytes` | size | `8KiB` |",
        "| `limits.connections` | whole number, at least 1 | `10000` |",
        "| `ops` | [mapping](#ops) | none |",
        "| `routes[].access` | `protected`, `optional` or `public` | `protected` |",
        "| `upstreams` | mapping of names to [mapping](#upstreamsname) | required |",
        "| `upstreams.<name>.tls.verify` | true/false | `true` |",
        "| `routes[].rewrite.replace_prefix` | list of text and text | none |",
        "| `trusted_proxies` | list of text | `[]` |",
        "| `admin.address` | text | `127.0.0.1:9091` |",
        "| `sessions.refresh.idle` | duration | `7d` |",
        "| `sessions.scope` | text | empty |",
        "| `sessions.clients.<name>.grants` | list of `refresh_token` | `[refresh_token]` |",
        "| `authenticators` | mapping of names to [`type: jwt`](#authenticatorsname-with-type-jwt) or "
        "[`type: issued`](#authenticatorsname-with-type-issued) |",
        "## `authenticators.<name>` with `type: issued`",
        "## `routes[].require[]` with `scopes`",
    ],
)
def test_types_and_defaults_are_in_plain_words(row: str) -> None:
    assert row in reference(json_schema())


def test_a_bar_cannot_break_a_table() -> None:
    schema = {
        "$defs": {},
        "description": "x",
        "properties": {"a": {"type": "string", "description": "one|two", "default": "a|b"}},
    }
    assert "| `a` | text | `a\\|b` | one\\|two |" in reference(schema)
