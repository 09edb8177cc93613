"""The exchange of a refresh token, as the token and the refresh endpoint share it."""

from aiohttp import web

from gateway.endpoints.clients import Client
from gateway.endpoints.context import Endpoints, client_address
from gateway.endpoints.forms import Parameters
from gateway.engine.sessions import Exchange
from gateway.model.errors import InvalidScope, UnauthorizedClient, UnknownRefreshToken
from gateway.model.scope import is_scope
from gateway.model.session import Issued
from gateway.tokens.refresh_token import RefreshToken


async def exchange(
    endpoints: Endpoints,
    request: web.Request,
    client: Client | None,
    refresh_token: str,
    *,
    access_token: str | None,
    scope: str | None,
) -> Issued:
    """Return the next pair. Raises what the service raises, and TooManyAttempts for junk.

    `client` is None where the request says nothing about it; then the session's client must be a public one.
    """
    if client is not None and not client.may_refresh:
        raise UnauthorizedClient("the client may not use the grant refresh_token")
    address = client_address(request)
    return await endpoints.service.exchange(
        Exchange(
            refresh_token,
            None if client is None else client.id,
            access_token=access_token,
            scope=scope,
            address=address,
            read=_read(endpoints, refresh_token, address),
        )
    )


def requested_scope(parameters: Parameters) -> str | None:
    """Return the `scope` that is asked for, each name once. Raises InvalidScope if it is not one (RFC 6749 §3.3)."""
    scope = parameters.text("scope")
    if scope is None:
        return None
    if not is_scope(scope):
        raise InvalidScope("not a scope")
    return " ".join(dict.fromkeys(scope.split(" ")))


def _read(endpoints: Endpoints, refresh_token: str, address: str) -> RefreshToken | None:
    """Return what the token says; None for junk, which is counted."""
    try:
        return endpoints.service.read(refresh_token)
    except UnknownRefreshToken:
        endpoints.junk.count(address)
        return None
