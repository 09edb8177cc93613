"""The document of the admin API describes it exactly: what there is, what it takes and what it answers."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway import __version__
from gateway.admin.app import admin_application
from gateway.admin.openapi import document
from gateway.admin.parts import PREFIX, AdminParts
from gateway.admin.roles import needed_role
from gateway.cli import main
from gateway.telemetry.audit import AuditLog
from gateway.telemetry.log import Log
from gateway.telemetry.log_settings import LogSettings
from tests.admin.operating import READ_TOKEN, operated
from tests.session_gateway import STAFF, session_gateway

DOCS = Path(__file__).parents[2] / "docs"


def operations() -> Iterator[tuple[str, str, Any]]:
    for path, item in document()["paths"].items():
        yield from ((method.upper(), path, each) for method, each in item.items() if method != "parameters")


def routes() -> Iterator[tuple[str, str, web.AbstractRoute]]:
    """Yield what the application has. HEAD comes with every GET."""

    def parts() -> AdminParts:
        raise AssertionError

    app = admin_application(parts, Log(LogSettings(level="error")), AuditLog())
    for route in app.router.routes():
        assert route.resource is not None
        if route.resource.canonical.startswith(PREFIX) and route.method != "HEAD":
            yield route.method, route.resource.canonical.removeprefix(PREFIX), route


def test_it_is_valid() -> None:
    assert list(OpenAPIV31SpecValidator(document()).iter_errors()) == []
    assert document()["info"]["version"] == __version__


def test_it_has_all_that_the_application_has_and_nothing_else() -> None:
    described = {(method, path.replace("{id}", "{sid}")) for method, path, _ in operations()}
    assert described == {(method, path) for method, path, _ in routes()}


def test_it_says_which_role_each_takes() -> None:
    described = {(method, path.replace("{id}", "{sid}")): each["x-role"] for method, path, each in operations()}
    assert described == {(method, path): needed_role(route.handler) for method, path, route in routes()}


def test_names_of_operations_are_there_once() -> None:
    names = [each["operationId"] for _, _, each in operations()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("method", "path", "operation"), list(operations()), ids=lambda each: str(each)[:40])
def test_every_operation_tells_the_errors_that_it_may_answer_with(method: str, path: str, operation: Any) -> None:
    expected = {"400", "401", "403", "429", "503"}
    expected |= {"415"} if method == "POST" else set()
    expected |= {"408", "413"} if "requestBody" in operation else set()
    expected |= {"404"} if "sessions" in operation["tags"] or "{" in path else set()
    assert {status for status in operation["responses"] if status >= "4"} == expected


def _examples() -> Iterator[tuple[Any, Any]]:
    described = document()
    contents = [each.get("requestBody", {}).get("content", {}) for _, _, each in operations()]
    answers = [answer for _, _, each in operations() for answer in each["responses"].values()]
    contents += [answer.get("content", {}) for answer in [*answers, *described["components"]["responses"].values()]]
    for content in (each["application/json"] for each in contents if each):
        shown = [each["value"] for each in content.get("examples", {}).values()]
        shown += [content["example"]] if "example" in content else []
        yield from ((content["schema"], example) for example in shown)


def test_examples_are_what_they_are_examples_of() -> None:
    examples = list(_examples())
    assert len(examples) > 5
    for schema, example in examples:
        OAS31Validator({**schema, "components": document()["components"]}).validate(example)


async def test_it_is_served_to_whoever_may_look_and_to_nobody_else(tmp_path: Path) -> None:
    async with operated(tmp_path) as gateway:
        assert (await gateway.ask("GET", "openapi.json", token=None)).status == 401
        answer = await gateway.ask("GET", "openapi.json", token=READ_TOKEN)
        assert answer.status == 200
        assert (await gateway.ask("GET", "openapi.json?version=3")).status == 400


async def test_it_names_the_issuers_of_this_gateway(tmp_path: Path) -> None:
    async with session_gateway(tmp_path) as served:
        schemas = (await served.admin("GET", "/openapi.json")).json["components"]["schemas"]
    assert schemas["OwnIssuer"]["const"] == "https://gw.example"
    assert schemas["Issuer"]["enum"] == ["https://gw.example", STAFF]


def test_what_is_filled_in_for_one_gateway_does_not_stay_for_the_next() -> None:
    document("https://a.example", ["https://a.example"])
    assert "const" not in document()["components"]["schemas"]["OwnIssuer"]


def test_it_is_there_without_a_gateway(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "--of", "admin-api"]) == 0
    assert json.loads(capsys.readouterr().out) == document()


def test_the_page_is_made_from_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "--of", "admin-api", "--format", "markdown"]) == 0
    page = (DOCS / "admin-api-reference.md").read_text()
    assert capsys.readouterr().out == page
    assert [path for method, path, _ in operations() if f"### `{method} {path}`" not in page] == []
