"""The reference of the admin API in Markdown, made from its OpenAPI document."""

import json
from collections.abc import Collection, Iterator
from typing import Final

from gateway.commands.showing.api_words import Schema, Words, row

_OPENING: Final = """\
# Admin API: reference

<!-- Made by `gateway schema --of admin-api --format markdown`. To change it, edit gateway/admin/openapi.yaml;
the text around the tables is in gateway/commands/showing/api_reference.py. -->

Every path begins with `{prefix}`. How to switch it on, and who may use it, is in [Admin API](admin-api.md). For
programs there is the same as OpenAPI 3.1: `GET {prefix}/openapi.json`, or `gateway schema --of admin-api`.

{description}
"""
_ERRORS: Final = """\
## Errors

The body of every error is an [Error](#error): constant words, nothing of the request. The exact reason is in the audit
log, event `admin_refused`. Whatever is asked may be answered with:
"""
_ANSWERS: Final = "| status | means |\n|---|---|"


def api_reference(document: Schema) -> str:
    """Return the reference of every operation and every object in the document."""
    return _Reference(document).text()


class _Reference:
    """`_common` are the errors that every operation may answer with: they are described once."""

    def __init__(self, document: Schema) -> None:
        self._document = document
        self._words = Words(document)
        answers = [operation["responses"] for _, _, operation, _ in self._operations()]
        self._common = {status for status in answers[0] if status >= "4" and all(status in each for each in answers)}
        self._any = answers[0]

    def text(self) -> str:
        prefix, info = self._document["servers"][0]["url"], self._document["info"]
        parts = [_OPENING.format(prefix=prefix, description=info["description"].strip())]
        for tag in self._document["tags"]:
            parts.append(f"## {tag['name'].capitalize()}\n\n{tag['description']}\n")
            parts += [
                "\n".join(self._operation(*each)) for each in self._operations() if tag["name"] in each[2]["tags"]
            ]
        parts.append("\n".join([_ERRORS, _ANSWERS, *self._answers(self._any, self._common), "", "## Objects\n"]))
        for name, schema in self._document["components"]["schemas"].items():
            if "properties" in schema:
                parts.append("\n".join([f"### {name}\n", *self._words.fields(schema)]))
        return "\n".join(parts).rstrip()

    def _operations(self) -> Iterator[tuple[str, str, Schema, list[Schema]]]:
        """Yield method, path, operation and its parameters."""
        for path, item in self._document["paths"].items():
            for method, operation in item.items():
                if method != "parameters":
                    parameters = [*item.get("parameters", ()), *operation.get("parameters", ())]
                    yield method.upper(), path, operation, [self._words.followed(each) for each in parameters]

    def _operation(self, method: str, path: str, operation: Schema, parameters: list[Schema]) -> Iterator[str]:
        yield f"### `{method} {path}`\n"
        yield f"{operation['summary']}. Role: `{operation['x-role']}`.\n"
        if "description" in operation:
            yield f"{operation['description'].strip()}\n"
        if parameters:
            yield "| parameter | in | type | meaning |\n|---|---|---|---|"
            yield from map(self._words.parameter, parameters)
            yield ""
        if "requestBody" in operation:
            yield from self._body(operation["requestBody"]["content"]["application/json"])
        yield _ANSWERS
        yield from self._answers(operation["responses"], operation["responses"].keys() - self._common)
        yield ""

    def _body(self, content: Schema) -> Iterator[str]:
        schema = self._words.followed(content["schema"])
        for each in schema.get("oneOf", (schema,)):
            yield f"The body, to name {each['title']}:\n" if "title" in each else "The body:\n"
            yield from self._words.fields(each)
        examples = [each["value"] for each in content.get("examples", {}).values()] or [content["example"]]
        yield "```json"
        yield from (json.dumps(example, ensure_ascii=False) for example in examples)
        yield "```\n"

    def _answers(self, responses: Schema, statuses: Collection[str]) -> Iterator[str]:
        for status in sorted(statuses):
            response = self._words.followed(responses[status])
            headers = "".join(f" See `{name}`." for name in response.get("headers", ()))
            yield row(status, f"{response['description']}{headers}{self._shown(status, response)}")

    def _shown(self, status: str, response: Schema) -> str:
        """Return what the body of a success is, in words."""
        if status >= "4" or "content" not in response:
            return ""
        schema = response["content"]["application/json"]["schema"]
        if "properties" not in schema:
            return f" {self._words.type(schema)}"
        members = (f"`{name}`: {self._words.type(member)}" for name, member in schema["properties"].items())
        return f" {{{', '.join(members)}}}"
