"""The gateway's own public routes, as an aiohttp application. The proxy reaches it in process, like any upstream."""

from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from gateway.config.sessions import own_paths
from gateway.endpoints.context import REQUEST_ID, Endpoints
from gateway.endpoints.forms import MAX_BYTES
from gateway.endpoints.introspect import introspect
from gateway.endpoints.login import login, signup
from gateway.endpoints.logout import logout
from gateway.endpoints.metadata import issuer_metadata, jwks, public_document, resource_metadata
from gateway.endpoints.opening import open_session
from gateway.endpoints.refresh import refresh
from gateway.endpoints.refusing import refusal_answer, refused
from gateway.endpoints.revoke import revoke
from gateway.endpoints.token import token
from gateway.model.errors import InternalError, MalformedGrantRequest, MethodNotAllowed, NoRoute, Refusal
from gateway.model.faces import Challenge
from gateway.tokens.signing import SigningKey

Endpoint = Callable[[Endpoints, web.Request], Awaitable[web.Response]]

ENDPOINTS: dict[str, Endpoint] = {
    "token": token,
    "revoke": revoke,
    "introspect": introspect,
    "login": login,
    "signup": signup,
    "refresh": refresh,
    "logout": logout,
    "sessions": open_session,
    "jwks": jwks,
    "issuer_metadata": issuer_metadata,
    "resource_metadata": resource_metadata,
}
"""What answers at each of the paths that `own_paths` lists."""


def endpoints_application(
    identity_key: SigningKey | None, jwks_path: str, endpoints: Endpoints | None = None
) -> web.Application:
    """Return the application. Without an identity key and endpoints for sessions it has no routes."""
    app = web.Application(client_max_size=MAX_BYTES, middlewares=[_elsewhere(endpoints)])
    app.on_response_prepare.append(_hide_the_server)
    if identity_key is not None:
        document = {"keys": [dict(identity_key.jwk)]}

        async def show_identity_jwks(_: web.Request) -> web.Response:
            return public_document(document)

        app.add_routes([web.get(jwks_path, show_identity_jwks)])
    if endpoints is not None:
        for name, path, methods in own_paths(endpoints.settings):
            add = web.get if "GET" in methods else web.post
            app.add_routes([add(path, _answering(endpoints, name, ENDPOINTS[name]))])
        app.on_cleanup.append(_closing(endpoints))
    return app


def _answering(endpoints: Endpoints, name: str, endpoint: Endpoint) -> Handler:
    """Return a handler that turns refusals into their faces, and bugs into 500."""

    async def answer(request: web.Request) -> web.StreamResponse:
        result = "ok"
        try:
            response = await endpoint(endpoints, request)
        except (web.RequestPayloadError, ConnectionError) as error:
            result = MalformedGrantRequest.reason
            response = refused(endpoints, request, name, MalformedGrantRequest(type(error).__name__))
        except Refusal as refusal:
            result = refusal.reason
            response = refused(endpoints, request, name, refusal)
        except Exception as error:  # noqa: BLE001 - a bug refuses, and is told
            endpoints.failed(error)
            result = InternalError.reason
            response = refused(endpoints, request, name, InternalError("an endpoint failed"))
        endpoints.record(name, result)
        return response

    return answer


def _elsewhere(endpoints: Endpoints | None) -> Middleware:
    """Return what answers where there is no endpoint, or not with this method: in JSON, like everything else."""
    challenge = Challenge("gateway") if endpoints is None else endpoints.challenge
    request_id_header = REQUEST_ID if endpoints is None else endpoints.request_id_header

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        request_id = request.headers.get(request_id_header, "")
        try:
            return await handler(request)
        except web.HTTPMethodNotAllowed as error:
            response = refusal_answer(MethodNotAllowed("another method"), challenge, request_id)
            response.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
            return response
        except web.HTTPNotFound:
            return refusal_answer(NoRoute("no endpoint"), challenge, request_id)

    return middleware


def _closing(endpoints: Endpoints) -> Callable[[web.Application], Awaitable[None]]:
    async def close(_: web.Application) -> None:
        endpoints.close()

    return close


async def _hide_the_server(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "gateway"
