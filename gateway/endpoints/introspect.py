"""The introspection endpoint (RFC 7662): what a token is worth, for those who may know."""

from typing import Any

from aiohttp import web

from gateway.endpoints.answers import json_answer
from gateway.endpoints.clients import Client
from gateway.endpoints.context import Endpoints
from gateway.endpoints.forms import read_form
from gateway.model.errors import InvalidToken, UnauthorizedClient
from gateway.tokens.refresh_token import looks_like_refresh_token

INACTIVE: dict[str, Any] = {"active": False}
_SHOWN = ("scope", "client_id", "sub", "exp", "iat", "aud", "iss", "jti", "auth_time")


async def introspect(endpoints: Endpoints, request: web.Request) -> web.Response:
    parameters = await read_form(request)
    caller = await endpoints.clients.authenticate(request, parameters)
    if not caller.settings.may.introspect:
        raise UnauthorizedClient("the client may not introspect")
    token = parameters.required("token")
    endpoints.require_fresh_view()
    if looks_like_refresh_token(token):
        answer = await _refresh_token(endpoints, token, caller)
    else:
        answer = _access_token(endpoints, token, caller)
    return json_answer(answer)


def _access_token(endpoints: Endpoints, token: str, caller: Client) -> dict[str, Any]:
    try:
        holder = endpoints.holder(token)
    except InvalidToken:
        return INACTIVE
    claims = holder.claims
    audiences = {claims["aud"]} if isinstance(claims["aud"], str) else set(claims["aud"])
    is_owner = holder.client_id == caller.id
    may_know = is_owner or audiences & caller.settings.audiences
    if not may_know or endpoints.view.is_revoked(holder) or holder.expires_at <= endpoints.clock():
        return INACTIVE
    if not is_owner and holder.session_id is not None and holder.generation is not None:
        # A resource server asks because somebody used the token.
        endpoints.own.seen(holder.session_id, holder.generation)
    return {"active": True, **{name: claims[name] for name in _SHOWN if name in claims}, "token_type": "Bearer"}


async def _refresh_token(endpoints: Endpoints, token: str, caller: Client) -> dict[str, Any]:
    """Say what a refresh token is worth to the client it was issued to. It is not exchanged by that."""
    found = await endpoints.service.find(token)
    if found is None or found.session.client_id != caller.id:
        return INACTIVE
    session = found.session
    if endpoints.service.is_over(session, round(endpoints.clock() * 1000)):
        return INACTIVE
    if found.token.generation < session.generation:
        return INACTIVE
    return {
        "active": True,
        "scope": session.scope,
        "client_id": session.client_id,
        "sub": session.subject,
        "exp": session.expires_at,
        "iat": session.rotated_at_ms // 1000,
        "iss": endpoints.settings.issuer,
    }
