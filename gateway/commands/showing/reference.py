"""The configuration reference in Markdown, made from the JSON schema."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from gateway.config.wording import either

Schema = Mapping[str, Any]

_OPENING: Final = """\
# Configuration

<!-- Made by `gateway schema --format markdown`. To change it, edit the docstrings of the settings;
the text up to the first table is in gateway/commands/showing/reference.py. -->

The gateway reads one YAML file. `gateway check config.yaml` prints every mistake in it, with line and path, or the
routes as they work. For completion and checks while you type, give your editor the JSON schema: `gateway schema`.

* An unknown setting is a mistake, and so is a contradiction between settings. Nothing is ignored silently.
* **Durations** are written `500ms`, `10s`, `5m`, `1h`, `1d`, or as a number of seconds.
* **Sizes** are written `512`, `8KiB`, `10MiB`, `1GiB`.
* **Files** are relative to the configuration file.
* **Certificate authorities** for issuers are those of the system, and those of `fetch.ca`; calls use no proxy.
* **Environment**: `${NAME}` in a value is an environment variable, `${NAME:-default}` has a default for one that is
  unset or empty, and `$${` is a literal `${`. The outcome is always one value; it never changes the structure of the
  file. An unquoted value that is nothing but one variable is read as if it stood there (`8080` is a number, `true` a
  boolean, nothing is no value); everything else is text. Inside `[ ]` and `{ }`, YAML needs quotes: `["${NAME}"]`.
* **YAML**: anchors, aliases and merge keys (`<<: *defaults`) work. Unquoted `yes`, `no`, `on`, `off` and numbers like
  `0123` or `1_000` are refused, because versions of YAML read them differently. One document, UTF-8, no tags.
* **Claims** are named `sub`, `realm_access.roles` for a nested one, and `["https://example.com/roles"]` (a list of
  names) where a name contains a dot.

Below, `[]` stands for an item of a list and `<name>` for a name of your choice. Where the default is "none", nothing
is set: the meaning says what that does.
"""

_LAST: Final = ("admin",)
"""Sections that use what others are mainly made of: policies belong to routes."""


def reference(schema: Schema) -> str:
    """Return the reference of every setting in the JSON schema."""
    return _Reference(schema).text()


class _Reference:
    """Describes each model once, where it is used first; `_headings` says under which heading that is."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._definitions: Schema = schema["$defs"]
        self._headings: dict[str, str] = {}
        self._sections: list[tuple[str, str, Schema]] = [("Top level", "", schema)]

    def text(self) -> str:
        self._collect(self._schema, "")
        sections = ["\n".join(self._section(*section)) for section in self._sections]
        return "\n".join([_OPENING, *sections]).rstrip()

    def _collect(self, model: Schema, path: str) -> None:
        settings = sorted(model["properties"].items(), key=lambda setting: setting[0] in _LAST)
        for name, setting in settings:
            found = _models_in(setting, f"{path}.{name}".removeprefix("."), self._definitions)
            new = [each for each in found if each[2] not in self._headings]
            self._headings |= {used: f"`{place}`" + (f" with `{label}`" if label else "") for place, label, used in new}
            for place, _, used in new:
                self._sections.append((self._headings[used], place, self._definitions[used]))
                self._collect(self._definitions[used], place)

    def _section(self, heading: str, path: str, model: Schema) -> Iterator[str]:
        yield f"## {heading}\n"
        yield f"{' '.join(model['description'].split())}\n"
        yield "| Setting | Type | Default | Meaning |"
        yield "|---|---|---|---|"
        required = model.get("required", ())
        for name, setting in model["properties"].items():
            full = f"{path}.{name}".removeprefix(".")
            default = "required" if name in required else _default(setting)
            cells = (f"`{full}`", self._type(setting), default, self._meaning(setting))
            yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
        yield ""

    def _meaning(self, setting: Schema) -> str:
        """Return the description; a setting that says the same as its model has none of its own."""
        description = setting.get("description") or self._definitions[_name(setting)]["description"]
        return " ".join(description.split())

    def _type(self, schema: Schema) -> str:
        """Return the type in plain words, with links to the models in it."""
        if "$ref" in schema:
            return self._referred(_name(schema))
        if members := _members(schema):
            words = [self._member(member, members) for member in members if member != {"type": "null"}]
            return either(list(dict.fromkeys(words)))
        if "const" in schema or "enum" in schema:
            return either([_code(value) for value in schema.get("enum", [schema.get("const")])])
        if "prefixItems" in schema:
            return f"list of {' and '.join(self._type(item) for item in schema['prefixItems'])}"
        if schema.get("type") == "array":
            return f"list of {self._type(schema['items'])}"
        if schema.get("type") == "object":
            return f"mapping of names to {self._type(_value_schema(schema))}"
        return _simple(schema)

    def _referred(self, name: str, words: str = "mapping") -> str:
        if name not in self._headings:
            return self._type(self._definitions[name])
        return f"[{words}](#{_slug(self._headings[name])})"

    def _member(self, member: Schema, members: list[Schema]) -> str:
        label = _label(member, members, self._definitions)
        return self._referred(_name(member), f"`{label}`") if label else self._type(member)


def _models_in(schema: Schema, path: str, definitions: Schema) -> Iterator[tuple[str, str, str]]:
    """Yield the models that a setting leads to directly: path, label among the members of a union (or ""), name."""
    if "$ref" in schema and "properties" in definitions[_name(schema)]:
        yield path, "", _name(schema)
    elif members := _members(schema):
        for member in members:
            label = _label(member, members, definitions)
            yield from ((place, label, name) for place, _, name in _models_in(member, path, definitions))
    elif "items" in schema:
        yield from _models_in(schema["items"], f"{path}[]", definitions)
    elif schema.get("type") == "object":
        yield from _models_in(_value_schema(schema), f"{path}.<name>", definitions)


def _members(schema: Schema) -> list[Schema]:
    return list(schema.get("anyOf", schema.get("oneOf", ())))


def _value_schema(schema: Schema) -> Schema:
    values: Schema = next(iter(schema.get("patternProperties", {}).values()), schema.get("additionalProperties", {}))
    return values


def _name(schema: Schema) -> str:
    return str(schema["$ref"]).removeprefix("#/$defs/")


def _label(member: Schema, members: list[Schema], definitions: Schema) -> str:
    """Return the setting that tells this model from the others in a union; nothing if it is the only one."""
    models = [definitions[_name(each)] for each in members if "$ref" in each]
    if "$ref" not in member or len(models) < 2:
        return ""
    own = definitions[_name(member)]
    for name, setting in own["properties"].items():
        if "const" in setting:
            return f"{name}: {setting['const']}"
    others = {name for model in models if model is not own for name in model["properties"]}
    return str(next(name for name in own["properties"] if name not in others))


_PLAIN: Final[Mapping[str, str]] = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true/false",
    "null": "nothing",
}
_FORMATS: Final[Mapping[str, str]] = {
    "uri": "URL",
    "path": "file name",
    "ipv4network": "IPv4 network",
    "ipv6network": "IPv6 network",
}
_BOUNDS: Final = (
    ("minimum", "at least"),
    ("exclusiveMinimum", "more than"),
    ("maximum", "at most"),
    ("exclusiveMaximum", "less than"),
)


def _simple(schema: Schema) -> str:
    kind = _measure(schema) or _FORMATS.get(schema.get("format", "")) or _PLAIN[schema["type"]]
    bounds = [f"{words} {_shown(schema[name], schema)}" for name, words in _BOUNDS if schema.get(name)]
    return ", ".join([kind, *bounds])


def _measure(schema: Schema) -> str | None:
    """Return "duration" or "size" for the two types that may be written with a unit."""
    kinds = schema.get("type")
    if not isinstance(kinds, list):
        return None
    return "duration" if "number" in kinds else "size"


def _default(setting: Schema) -> str:
    value = setting.get("default")
    if value is None:
        return "none"
    if value == "":
        return "empty"
    if isinstance(value, dict) and value:
        return "see there"
    measured = next((member for member in _members(setting) if _measure(member)), setting)
    return f"`{_shown(value, measured)}`"


_UNITS: Final[Mapping[str, tuple[tuple[str, float], ...]]] = {
    "duration": (("d", 86400), ("h", 3600), ("m", 60), ("s", 1), ("ms", 0.001)),
    "size": (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)),
}


def _shown(value: Any, schema: Schema) -> str:
    """Return a value as it would be written in YAML, with the largest unit that fits."""
    if isinstance(value, list):
        return f"[{', '.join(_shown(item, schema) for item in value)}]"
    if isinstance(value, str):
        return value
    for unit, factor in _UNITS.get(_measure(schema) or "", ()):
        if value and value / factor == int(value / factor):
            return f"{int(value / factor)}{unit}"
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)


def _code(value: Any) -> str:
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _slug(heading: str) -> str:
    """Return the anchor that Markdown renderers give to a heading."""
    return re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-")
