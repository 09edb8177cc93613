"""The types of an OpenAPI document in plain words, and rows of Markdown tables that use them."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

Schema = Mapping[str, Any]

_PLAIN: Final = {"string": "text", "integer": "whole number", "boolean": "true or false", "array": "pair"}
_FORMATS: Final = {"ipv4": "IPv4 address", "ipv6": "IPv6 address"}


class Words:
    """Speaks of the schemas of one document."""

    def __init__(self, document: Schema) -> None:
        self._document = document

    def followed(self, schema: Schema) -> Schema:
        """Return what a reference refers to."""
        found = self._document
        if "$ref" not in schema:
            return schema
        for step in schema["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        return found

    def type(self, schema: Schema) -> str:
        """Return a type in words; an object that is described leads there."""
        if "$ref" in schema:
            name, found = schema["$ref"].rpartition("/")[2], self.followed(schema)
            return f"[{name}](#{name.lower()})" if "properties" in found else self.type(found)
        if "anyOf" in schema:
            return " or ".join(self.type(each) for each in schema["anyOf"])
        if "enum" in schema or "const" in schema:
            values = schema.get("enum", [schema.get("const")])
            return " or ".join(f"`{each}`" if isinstance(each, str) else json.dumps(each) for each in values)
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        return " or ".join(self._plain(kind, schema) for kind in kinds)

    def _plain(self, kind: str, schema: Schema) -> str:
        if kind == "array" and "prefixItems" not in schema:
            return f"list of {self.type(schema['items'])}"
        words = _FORMATS.get(schema.get("format", ""), _PLAIN.get(kind, kind))
        if kind in ("integer", "number") and "maximum" in schema:
            return f"{words} from {schema['minimum']} to {schema['maximum']}"
        return words

    def parameter(self, parameter: Schema) -> str:
        schema = parameter["schema"]
        cells = (f"`{parameter['name']}`", parameter["in"], self.type(schema), parameter["description"])
        return row(*cells[:3], f"{cells[3]}{_default(schema)}")

    def fields(self, schema: Schema) -> Iterator[str]:
        """Yield a table of the members of an object, and of the objects within it."""
        yield "| member | type | meaning |\n|---|---|---|"
        for name, member in schema["properties"].items():
            yield from self._field(name, member, name in schema.get("required", ()))
        yield ""

    def _field(self, name: str, member: Schema, is_required: bool) -> Iterator[str]:
        words = member.get("description") or self.followed(member).get("description", "")
        meaning = f"{'' if is_required else 'Optional. '}{words}{_default(member)}"
        yield row(f"`{name}`", self.type(member), meaning.strip())
        below = member.get("items", member)
        place = f"{name}[]" if "items" in member else name
        for each in below.get("anyOf", (below,)):
            for inner, schema in each.get("properties", {}).items():
                yield from self._field(f"{place}.{inner}", schema, inner in each.get("required", ()))


def row(*cells: str) -> str:
    """Return a row of a table."""
    return f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in cells)} |"


def _default(schema: Schema) -> str:
    value = schema.get("default")
    return "" if value in (None, "") else f" `{value}` if left out."
