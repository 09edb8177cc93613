"""`gateway schema`: what a configuration may hold, and what the admin API takes: for programs, and as Markdown."""

import argparse
import json
from inspect import getdoc
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from gateway.admin.openapi import document
from gateway.commands.showing.api_reference import api_reference
from gateway.commands.showing.meanings import meanings
from gateway.commands.showing.reference import reference
from gateway.commands.testing.cases import Cases
from gateway.config.schema import Config
from gateway.model.settings import Settings
from gateway.model.upstream import Address


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "schema",
        help="print the JSON schema or the reference of the configuration",
        description="Print what a configuration may hold, as JSON schema for editors or as reference in Markdown; "
        "or what the admin API takes and answers, as OpenAPI or as reference.",
    )
    parser.add_argument("--format", choices=("json", "markdown"), default="json", help="json (default) or markdown")
    parser.add_argument(
        "--of",
        choices=("config", "cases", "admin-api"),
        default="config",
        help="config (default); cases for `gateway test`, as JSON only; or the admin API",
    )


def run(arguments: argparse.Namespace) -> int:
    if arguments.of == "cases":
        print(json.dumps(cases_schema(), indent=2, ensure_ascii=False))
    elif arguments.of == "admin-api":
        described = document()
        is_text = arguments.format == "markdown"
        print(api_reference(described) if is_text else json.dumps(described, indent=2, ensure_ascii=False))
    else:
        print(reference(json_schema()) if arguments.format == "markdown" else json_schema_text())
    return 0


def json_schema_text() -> str:
    """Return the JSON schema as it is printed."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False)


def json_schema() -> dict[str, Any]:
    """Return the JSON schema (2020-12) of the configuration."""
    return _schema(Config, "Gateway configuration")


def cases_schema() -> dict[str, Any]:
    """Return the JSON schema of a file of cases for `gateway test`."""
    return _schema(Cases, "Cases for gateway test")


def _schema(model: type[Settings], title: str) -> dict[str, Any]:
    schema = model.model_json_schema(schema_generator=_Generator)
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema, "title": title}


class _Generator(GenerateJsonSchema):
    """Leaves out titles that repeat names, says what settings mean, and writes defaults as a file would."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def model_schema(self, schema: Any) -> dict[str, Any]:
        model, found = schema["cls"], super().model_schema(schema)
        for name, meaning in meanings(model).items():
            field = model.model_fields[name]
            if meaning != getdoc(field.annotation):  # else the definition says it
                found["properties"][field.alias or name]["description"] = meaning
        return found

    def encode_default(self, dft: Any) -> Any:
        if isinstance(dft, Address):
            return str(dft)
        return sorted(dft) if isinstance(dft, frozenset) else super().encode_default(dft)
