"""What the steps of an explanation look at, in words."""

import json
from typing import Any, Final

from gateway.engine.paths import Target
from gateway.engine.routes import Route
from gateway.insight.explaining.near import pattern
from gateway.insight.explaining.steps import in_words
from gateway.mechanisms.base import TokenSource
from gateway.model.errors import Refusal
from gateway.model.principal import Principal
from gateway.model.request import InboundRequest
from gateway.tokens.jose import read_jws

_LONGEST: Final = 200
"""Characters of a claim; a longer one is cut."""


def shown_target(found: tuple[str, Target]) -> str:
    host, target = found
    return f"host {host or 'absent'}, path {target.path}"


def shown_route(route: Route) -> str:
    methods = ", ".join(route.methods or ()) or "any method"
    hosts = ", ".join(route.hosts) or "any host"
    return f'"{route.id}": {pattern(route)} for {methods} on {hosts}; {route.access}'


def shown_find(source: TokenSource, request: InboundRequest) -> str:
    try:
        token = source.find(request)
    except Refusal as refusal:
        return f"refused, {refusal.reason}"
    return "nothing" if token is None else f"found, {len(token)} bytes"


def why_unreadable(token: str) -> str | None:
    try:
        read_jws(token)
    except Refusal as refusal:
        return in_words(refusal)
    return None


def shown_principal(principal: Principal) -> str:
    scopes = " ".join(sorted(principal.scopes)) or "none"
    return f"{principal.subject!r}, a {principal.type}, by {principal.authenticator}; scopes: {scopes}"


def shown_claim(value: Any) -> str:
    text = json.dumps(value)
    return "absent" if value is None else text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def shown_notice(event: str, fields: dict[str, Any]) -> str:
    told = ", ".join(f"{name} {value}" for name, value in fields.items() if name != "authenticator" and value != [])
    return f"{event}: {told}"
