"""The body of a request to an endpoint, read so that no two readers understand it differently.

A form (RFC 6749 Appendix B) or, where the endpoint allows it, one JSON object. A parameter comes once; an empty or
null one is as good as absent (RFC 6749 §3.2); unknown ones are ignored. Nothing is taken from the query.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_plus

from aiohttp import web

from gateway.model.errors import MalformedGrantRequest, OversizedBody
from gateway.tokens.strict_json import NotStrictJson, read_object

MAX_BYTES = 16 * 1024
_MAX_PARAMETERS = 64
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


class Parameters:
    """What a request says. No value shows in a repr."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __len__(self) -> int:
        return len(self._values)

    def without(self, *names: str) -> dict[str, Any]:
        """Return everything that came, but for these parameters."""
        return {name: value for name, value in self._values.items() if name not in names}

    def text(self, name: str) -> str | None:
        """Return a parameter, or None if it is absent or empty."""
        value = self._values.get(name)
        if value is None or value == "":
            return None
        if type(value) is not str:
            raise MalformedGrantRequest(f"{name} is not text")
        if "\0" in value:
            raise MalformedGrantRequest(f"{name} holds a null character")
        return value

    def required(self, name: str) -> str:
        value = self.text(name)
        if value is None:
            raise MalformedGrantRequest(f"{name} is missing or empty")
        return value

    def is_set(self, name: str) -> bool:
        """Return a parameter that is true or false, and false where it is absent."""
        value = self._values.get(name)
        if value in (None, "", False, "false"):
            return False
        if value is True or value == "true":
            return True
        raise MalformedGrantRequest(f"{name} is neither true nor false")

    def members(self, name: str) -> Mapping[str, Any]:
        """Return a parameter that is a JSON object."""
        value = self._values.get(name)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise MalformedGrantRequest(f"{name} is not an object")
        return value


async def read_form(request: web.Request) -> Parameters:
    """Return the parameters of a form. Raises MalformedGrantRequest or OversizedBody."""
    if _media_type(request) != "application/x-www-form-urlencoded":
        raise MalformedGrantRequest("the body is not a form")
    return _form(await _body(request))


async def read_json(request: web.Request) -> Parameters:
    """Return the members of a JSON object. Raises like `read_form`."""
    if _media_type(request) != "application/json":
        raise MalformedGrantRequest("the body is not JSON")
    return _json(await _body(request))


async def read_any(request: web.Request) -> Parameters:
    """Return the parameters of a form or of a JSON object; none at all of a request without a body."""
    media_type = _media_type(request)
    if media_type == "application/json":
        return _json(await _body(request))
    if media_type == "application/x-www-form-urlencoded":
        return _form(await _body(request))
    if await _body(request):
        raise MalformedGrantRequest("the body is neither a form nor JSON")
    return Parameters({})


async def _body(request: web.Request) -> bytes:
    if request.rel_url.raw_query_string:
        raise MalformedGrantRequest("parameters in the query")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise MalformedGrantRequest("the body is compressed")
    content = request.content
    if content.is_eof():  # as a rule: the proxy sends a request when it has all of it
        body = content.read_nowait()
        if len(body) > MAX_BYTES:
            raise OversizedBody(f"more than {MAX_BYTES} bytes")
        return body
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise OversizedBody(f"more than {MAX_BYTES} bytes") from error


def _media_type(request: web.Request) -> str:
    """Return the type of the body; that there is at most one Content-Type, the parser has seen to."""
    if (request.charset or "utf-8").lower() not in ("utf-8", "utf8"):
        raise MalformedGrantRequest("the body is not UTF-8")
    return request.content_type


def _form(body: bytes) -> Parameters:
    if _BAD_ESCAPE.search(body):
        raise MalformedGrantRequest("a percent sign without two hexadecimal digits")
    try:
        text = body.decode("utf-8")
        if text.count("&") >= _MAX_PARAMETERS:
            raise MalformedGrantRequest(f"more than {_MAX_PARAMETERS} parameters")
        pairs = [_decoded(*pair.partition("=")) for pair in text.split("&") if pair]
    except ValueError as error:
        raise MalformedGrantRequest("the form is not UTF-8") from error
    values = dict(pairs)
    if len(values) != len(pairs):
        raise MalformedGrantRequest("a parameter occurs twice")
    return Parameters(values)


def _decoded(name: str, _: str, value: str) -> tuple[str, str]:
    if "%" in name or "+" in name:
        name = unquote_plus(name, errors="strict")
    if "%" in value or "+" in value:
        value = unquote_plus(value, errors="strict")
    return name, value


def _json(body: bytes) -> Parameters:
    try:
        return Parameters(read_object(body))
    except NotStrictJson as error:
        raise MalformedGrantRequest("the body is not one JSON object without repeated members") from error
