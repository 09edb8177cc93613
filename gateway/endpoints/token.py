"""The token endpoint (RFC 6749 §3.2): `grant_type=refresh_token`, a form in, JSON out."""

from aiohttp import web

from gateway.endpoints.answers import token_answer
from gateway.endpoints.context import Endpoints
from gateway.endpoints.exchanging import exchange, requested_scope
from gateway.endpoints.forms import read_form
from gateway.model.errors import UnsupportedGrantType


async def token(endpoints: Endpoints, request: web.Request) -> web.Response:
    parameters = await read_form(request)
    if parameters.required("grant_type") != "refresh_token":
        raise UnsupportedGrantType("not refresh_token")
    refresh_token = parameters.required("refresh_token")
    client = await endpoints.clients.identify(request, parameters)
    issued = await exchange(
        endpoints,
        request,
        client,
        refresh_token,
        access_token=parameters.text("access_token"),
        scope=requested_scope(parameters),
    )
    return token_answer(endpoints, issued, "json")
