"""The refresh endpoint: an exchange for clients that speak JSON, forms or cookies."""

from aiohttp import web

from gateway.endpoints.answers import token_answer
from gateway.endpoints.context import Endpoints
from gateway.endpoints.cross_site import is_foreign
from gateway.endpoints.exchanging import exchange, requested_scope
from gateway.endpoints.forms import read_any
from gateway.endpoints.presented import presented_tokens
from gateway.model.errors import CrossSiteRequest, MalformedGrantRequest, MissingCredentials


async def refresh(endpoints: Endpoints, request: web.Request) -> web.Response:
    parameters = await read_any(request)
    client = await endpoints.clients.identify(request, parameters)
    tokens = presented_tokens(endpoints, request, parameters)
    if tokens.refresh is None and not parameters and endpoints.settings.errors.refresh == "bearer":
        raise MissingCredentials("no refresh token: neither a body nor a cookie")
    if tokens.refresh is None:
        raise MalformedGrantRequest("refresh_token is missing or empty")
    kind = "cookies" if tokens.in_cookies else endpoints.settings.answer.refresh
    if kind == "cookies" and is_foreign(request, endpoints.settings.cookies.origins):
        raise CrossSiteRequest("another site's page would put its own session into our cookies")
    issued = await exchange(
        endpoints,
        request,
        client,
        tokens.refresh,
        access_token=tokens.access,
        scope=requested_scope(parameters),
    )
    return token_answer(endpoints, issued, kind)
