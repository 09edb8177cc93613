"""What a call asks to be explained: `{"method": "GET", "url": "https://api.example/orders/7", "token": "…"}`."""

import re
from collections.abc import Mapping
from typing import Any

from gateway.engine.question import Question, asked, header, peer_address, url_parts
from gateway.model.errors import MalformedGrantRequest
from gateway.model.moments import LAST_SECOND
from gateway.model.request import Header
from gateway.tokens.strict_json import NotStrictJson, read_object

_METHOD = re.compile(r"[A-Z]{1,32}(?:-[A-Z]{1,32}){0,4}")
_MEMBERS = frozenset({"method", "url", "token", "headers", "peer", "at"})
_HEADERS = 100


def read_question(body: bytes, now: float) -> Question:
    """Return the question in a body. Raises MalformedGrantRequest, whose words never repeat what may be a secret."""
    try:
        members = read_object(body)
        if unknown := members.keys() - _MEMBERS:
            raise ValueError(f"{len(unknown)} unknown members; there are {', '.join(sorted(_MEMBERS))}")
        return asked(
            _method(members.get("method", "GET")),
            url_parts(_text(members, "url")),
            _headers(members.get("headers", [])),
            _text(members, "token") if members.get("token") is not None else None,
            peer_address(_text(members, "peer")) if members.get("peer") is not None else "127.0.0.1",
            _time(members.get("at"), now),
        )
    except UnicodeEncodeError as error:
        raise MalformedGrantRequest("text that cannot be sent") from error
    except (NotStrictJson, ValueError) as error:
        raise MalformedGrantRequest(str(error)) from error


def _method(value: object) -> str:
    if not (isinstance(value, str) and _METHOD.fullmatch(value)):
        raise ValueError("method is text in capital letters")
    return value


def _text(members: Mapping[str, Any], name: str) -> str:
    value = members.get(name)
    if not isinstance(value, str):
        raise MalformedGrantRequest(f"{name} is text")
    return value


def _headers(value: object) -> list[Header]:
    if not isinstance(value, list) or len(value) > _HEADERS:
        raise ValueError(f"headers is a list of up to {_HEADERS} pairs of name and value")
    found = []
    for pair in value:
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(each, str) for each in pair)):
            raise ValueError("each of headers is a pair of name and value")
        found.append(header(*pair))
    return found


def _time(value: object, now: float) -> float:
    if value is None:
        return now
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LAST_SECOND:
        raise MalformedGrantRequest("at is a time in Unix seconds")
    return value
