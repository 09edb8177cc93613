"""The revocation endpoint (RFC 7009). A refresh token takes its whole session along, an access token only itself."""

from aiohttp import web

from gateway.endpoints.answers import NO_STORE
from gateway.endpoints.clients import Client
from gateway.endpoints.context import Endpoints
from gateway.endpoints.forms import read_form
from gateway.engine.exchange import reached_limit
from gateway.model.errors import InvalidClient, InvalidToken, UnauthorizedClient, UnsupportedTokenType, WrongClient
from gateway.model.session import EndReason
from gateway.tokens.jose import read_jws
from gateway.tokens.refresh_token import looks_like_refresh_token

_CLOCKS_APART = 60
"""Seconds by which this clock may be ahead of the store's: a session that is about to expire is ended all the same."""


async def revoke(endpoints: Endpoints, request: web.Request) -> web.Response:
    """`token_type_hint` is of no use here: a token says itself what it is."""
    parameters = await read_form(request)
    token = parameters.required("token")
    client = await endpoints.clients.identify(request, parameters)
    if client is not None:
        _require_permission(client)
    if looks_like_refresh_token(token):
        await _revoke_refresh_token(endpoints, token, client)
    else:
        await _revoke_access_token(endpoints, token, client)
    return web.Response(headers=NO_STORE)


async def _revoke_refresh_token(endpoints: Endpoints, token: str, client: Client | None) -> None:
    session = await endpoints.service.session_of(token)
    if session is None:
        return
    _require_owner(endpoints, client, session.client_id)
    if reached_limit(session, round((endpoints.clock() - _CLOCKS_APART) * 1000)) is None:
        # Also if it is over already: the answer before may have been that this is not confirmed.
        await endpoints.service.end(session.sid, EndReason.REVOKED)


async def _revoke_access_token(endpoints: Endpoints, token: str, client: Client | None) -> None:
    """What has expired, or never was good, needs no revocation; what is not ours cannot get one."""
    try:
        holder = endpoints.holder(token)
    except InvalidToken as error:
        _refuse_foreign(endpoints, token, error)
        return
    _require_owner(endpoints, client, holder.client_id)
    await endpoints.service.revoke_token(holder.claims)


def _require_permission(client: Client) -> None:
    if not client.settings.may.revoke:
        raise UnauthorizedClient("the client may not revoke tokens")


def _require_owner(endpoints: Endpoints, client: Client | None, owner_id: str | None) -> None:
    """Raise unless the token was issued to the client. One that does not say who it is must be public."""
    if client is not None:
        if client.id != owner_id:
            raise WrongClient(f"a token of client {owner_id!r}")
        return
    owner = endpoints.clients.get(owner_id or "")
    if owner is None:
        return
    if not owner.is_public:
        raise InvalidClient("the token of a confidential client, without client authentication")
    _require_permission(owner)


def _refuse_foreign(endpoints: Endpoints, token: str, error: InvalidToken) -> None:
    """Raise UnsupportedTokenType for the token of another issuer (RFC 7009 §2.2.1)."""
    try:
        issuer = read_jws(token).payload.get("iss")
    except InvalidToken:
        return
    if issuer != endpoints.settings.issuer:
        raise UnsupportedTokenType("a token of another issuer") from error
