"""What a token claims becomes header lines and nothing else: one line each, of visible ASCII, that gives it back."""

import json
import re
from typing import Any
from urllib.parse import unquote

from gateway.engine.gatekeeper import Gatekeeper
from gateway.engine.routes import RouteTable
from gateway.mechanisms.base import Policy
from gateway.mechanisms.mutators import ClaimHeader, FixedHeader, TemplateHeader
from gateway.mechanisms.policies import RequireAll, RequireAny, RequireClaim, RequireNot, RequireScopes
from gateway.model.errors import OversizedIdentity, Refusal
from gateway.model.principal import claim_at
from gateway.tokens.strict_json import NotStrictJson, read_object
from tests.judging import principal, route
from tests.minting import NOW

PATHS = (("sub",), ("roles",), ("realm", "roles"), ("name",))
MUTATORS = (
    *(ClaimHeader(header=f"X-{'-'.join(path)}", claim=path, list="comma") for path in PATHS),
    *(ClaimHeader(header=f"X-Json-{'-'.join(path)}", claim=path, list="json") for path in PATHS),
    ClaimHeader(header="X-Role", claim=("roles",), list="repeat"),
    FixedHeader(header="X-Fixed", value="fixed"),
    TemplateHeader(header="X-Template", template="{iss}#{sub} {name}"),
)
POLICIES: tuple[Policy, ...] = (
    RequireScopes.model_validate({"scopes": ["orders:read"]}),
    *(RequireClaim.model_validate({"claim": list(path), "equals": "admin"}) for path in PATHS),
    *(RequireClaim.model_validate({"claim": list(path), "contains": "admin"}) for path in PATHS),
    RequireAny.model_validate({"any": [{"claim": "roles", "contains": 1}, {"claim": "name", "equals": True}]}),
    RequireAll.model_validate({"all": [{"claim": "roles", "contains": 1}, {"claim": "name", "equals": True}]}),
    RequireNot.model_validate({"not": {"claim": "roles", "contains": "banned"}}),
)
ROUTE = route(mutators=MUTATORS, inject_key="all")
KEEPER = Gatekeeper(
    RouteTable([ROUTE]), lambda: NOW, token_bytes=8192, identity_bytes=8192, principal_type_header="X-Type"
)
_LINE = re.compile(r"(X-[A-Za-z-]+): ([!-~](?:[ -~]*[!-~])?)?")


def check(data: bytes) -> None:
    try:
        claims = {"sub": "alice", **read_object(data)}
    except NotStrictJson:
        return
    if not isinstance(claims["sub"], str) or not claims["sub"]:
        return
    caller = principal(claims)
    for policy in POLICIES:
        try:
            policy.check(caller, NOW)
        except Refusal as refusal:
            assert str(refusal)
    try:
        block = KEEPER.identity(ROUTE, caller, NOW)
    except OversizedIdentity:
        return
    lines = block.decode("ascii").removesuffix("\r\n").split("\r\n")
    values: dict[str, list[str]] = {}
    for line in lines:
        match = _LINE.fullmatch(line)
        assert match, repr(line)
        values.setdefault(match[1], []).append(match[2] or "")
    _check_values(values, caller.claims)


def _check_values(values: dict[str, list[str]], claims: Any) -> None:
    for path in PATHS:
        name, claim = "-".join(path), claim_at(claims, path)
        plain, as_json = values.get(f"X-{name}"), values.get(f"X-Json-{name}")
        if claim is None:
            assert plain is None
            assert as_json is None
        elif isinstance(claim, list):
            assert as_json is not None
            assert json.loads(unquote(as_json[0])) == claim
            members = [_text(member) for member in claim if member is not None]
            assert [unquote(member) for member in plain[0].split(",")] == members if plain else not members
        else:
            assert plain == as_json
            assert plain is not None
            assert unquote(plain[0]) == _text(claim)
    assert values["X-Fixed"] == ["fixed"]
    assert values["X-Type"] == ["user"]


def _text(claim: Any) -> str:
    return claim if isinstance(claim, str) else json.dumps(claim, separators=(",", ":"))
