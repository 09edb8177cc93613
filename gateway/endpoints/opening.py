"""Opening a session for a user that a backend has authenticated itself: a call from server to server."""

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from gateway.endpoints.answers import token_answer
from gateway.endpoints.clients import Client
from gateway.endpoints.context import Endpoints
from gateway.endpoints.exchanging import requested_scope
from gateway.endpoints.forms import Parameters, read_json
from gateway.endpoints.granting import granted_scope
from gateway.endpoints.labels import address_label, device_label
from gateway.engine.sessions import Opening
from gateway.mechanisms.logins.base import MAX_CLAIMS, MAX_SUBJECT
from gateway.model.errors import MalformedGrantRequest, UnauthorizedClient
from gateway.telemetry.audit_asker import note_actor
from gateway.tokens.issue import RESERVED_CLAIMS


async def open_session(endpoints: Endpoints, request: web.Request) -> web.Response:
    """The caller proves itself by Basic: `client_id` in the body is the client whose session it shall be."""
    parameters = await read_json(request)
    caller = await endpoints.clients.authenticate(request, Parameters({}))
    if not caller.settings.may.open_sessions:
        raise UnauthorizedClient("the client may not open sessions")
    note_actor(f"client:{caller.id}")
    client = _client(endpoints, parameters.text("client_id"), caller)
    issued = await endpoints.service.open(
        Opening(
            subject=_subject(parameters),
            client_id=client.id,
            scope=_scope(endpoints, caller, client, parameters),
            claims=_claims(parameters),
            device=device_label(parameters.text("device"), None),
            address=address_label(parameters.text("address") or ""),
        )
    )
    return token_answer(endpoints, issued, "json", with_refresh=client.may_refresh, status=201)


def _client(endpoints: Endpoints, client_id: str | None, caller: Client) -> Client:
    """Return whose session it shall be: the named one's, the default client's, or the caller's own."""
    client = endpoints.clients.get(client_id or endpoints.settings.default_client or caller.id)
    if client is None:
        raise MalformedGrantRequest("client_id is not one of the clients")
    return client


def _scope(endpoints: Endpoints, caller: Client, client: Client, parameters: Parameters) -> str:
    """The caller answers for what it grants, within its own bound and the client's."""
    asked = requested_scope(parameters)
    available = endpoints.settings.scope if asked is None else asked
    return granted_scope(client, granted_scope(caller, available, asked), asked)


def _subject(parameters: Parameters) -> str:
    subject = parameters.required("sub")
    if len(subject) > MAX_SUBJECT or not subject.isprintable():
        raise MalformedGrantRequest(f"sub has more than {MAX_SUBJECT} characters, or some that cannot be seen")
    return subject


def _claims(parameters: Parameters) -> Mapping[str, Any]:
    claims = parameters.members("claims")
    if RESERVED_CLAIMS & claims.keys():
        raise MalformedGrantRequest("claims sets a claim that is the gateway's own")
    if len(json.dumps(claims).encode()) > MAX_CLAIMS:
        raise MalformedGrantRequest(f"claims is longer than {MAX_CLAIMS} bytes")
    return claims
