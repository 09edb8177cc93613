"""What a body says to an endpoint, in a form or in JSON, is what an independent reading finds, or it is refused."""

import json
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import unquote_to_bytes

from aiohttp import web

from gateway.endpoints.forms import Parameters, read_any
from gateway.model.errors import MalformedGrantRequest, Refusal
from tests.fuzz.targets.strict_json import reference as strict_object

_WRONG = (
    "is not text",
    "holds a null character",
    "is missing or empty",
    "is neither true nor false",
    "is not an object",
)
_NAMES = ("grant_type", "refresh_token", "username", "password", "scope", "token", "x")


def check(data: bytes) -> None:
    is_json = data[:1] == b"j"
    body = data[1:]
    expected = strict_object(body) if is_json else _form(body)
    try:
        parameters = _read(body, "application/json" if is_json else "application/x-www-form-urlencoded")
    except MalformedGrantRequest:
        assert expected is None, "refused"
        return
    assert expected is not None, "accepted"
    assert json.dumps(parameters.without()) == json.dumps(expected)
    for name in _NAMES:
        _check_parameter(parameters, name, expected.get(name))


def _check_parameter(parameters: Parameters, name: str, value: Any) -> None:
    try:
        text = parameters.text(name)
    except Refusal:
        assert not isinstance(value, str) or "\0" in value
    else:
        assert text == (value or None) or value is None
    for read in (parameters.is_set, parameters.members, parameters.required):
        try:
            read(name)
        except MalformedGrantRequest as error:
            assert str(error) in {f"{name} {what}" for what in _WRONG}


def _read(body: bytes, media_type: str) -> Parameters:
    content = SimpleNamespace(is_eof=lambda: True, read_nowait=lambda: body)
    url = SimpleNamespace(raw_query_string="")
    request = SimpleNamespace(charset=None, content_type=media_type, headers={}, rel_url=url, content=content)
    reading = read_any(cast(web.Request, request))
    try:
        reading.send(None)
    except StopIteration as done:
        return cast(Parameters, done.value)
    raise AssertionError("it waits for something")


def _form(body: bytes) -> dict[str, str] | None:
    """WHATWG URL §5.1, with everything refused that is not plain."""
    values: dict[str, str] = {}
    pieces = [piece for piece in body.split(b"&") if piece]
    if body.count(b"&") + 1 > 64:
        return None
    for piece in pieces:
        if any(
            len(part) < 2 or not set(part[:2].lower()) <= set(b"0123456789abcdef") for part in piece.split(b"%")[1:]
        ):
            return None
        name, _, value = piece.replace(b"+", b" ").partition(b"=")
        try:
            body.decode("utf-8")
            key, text = unquote_to_bytes(name).decode("utf-8"), unquote_to_bytes(value).decode("utf-8")
        except UnicodeDecodeError:
            return None
        if key in values:
            return None
        values[key] = text
    return values
