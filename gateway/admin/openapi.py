"""The description of the admin API, for programs: OpenAPI 3.1, with what holds for this gateway filled in."""

import asyncio
from collections.abc import Collection
from copy import deepcopy
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from aiohttp import web

from gateway import __version__
from gateway.admin.parts import PARTS, PREFIX
from gateway.admin.reading import Parameters
from gateway.admin.roles import readable

Document = dict[str, Any]


def openapi_routes() -> list[web.RouteDef]:
    return [readable(web.get(PREFIX + "/openapi.json", _answer))]


async def _answer(request: web.Request) -> web.Response:
    Parameters(request).only()
    parts = request[PARTS]
    return web.json_response(await asyncio.to_thread(document, parts.issuer, parts.issuers))


def document(issuer: str | None = None, issuers: Collection[str] = ()) -> Document:
    """Return the document. `issuer` is the gateway's own, `issuers` are all whose tokens pass here."""
    described = deepcopy(_written())
    described["info"]["version"] = __version__
    schemas = described["components"]["schemas"]
    if issuer is not None:
        schemas["OwnIssuer"]["const"] = issuer
    if issuers:
        schemas["Issuer"]["enum"] = sorted(issuers)
    return described


@cache
def _written() -> Document:
    """Return the document as it is in the file. It is read when somebody asks: few do."""
    text = (files("gateway.admin") / "openapi.yaml").read_text("utf-8")
    written: Document = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
    del written["x-errors"]
    return written
