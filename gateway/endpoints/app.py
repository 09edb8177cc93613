"""The gateway's own public routes, as an aiohttp application. The proxy reaches it in process, like any upstream."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.config.sessions import own_paths
from gateway.endpoints.context import REQUEST_ID, Answering, Endpoints
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
from gateway.model.faces import OWN_REASON, Challenge

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

HANDLERS = web.AppKey("handlers", dict[str, Handler])
"""By path."""


def endpoints_application(
    identity_jwks: tuple[Mapping[str, Any], ...], jwks_path: str, endpoints: Endpoints | None = None
) -> web.Application:
    """Return the application. Without identity keys and endpoints for sessions it has no routes.

    Nothing of aiohttp's runs between the connection and a handler: neither middlewares nor signals. So who serves the
    application may as well call its HANDLERS.
    """
    app = web.Application(client_max_size=MAX_BYTES)
    elsewhere = _Elsewhere(endpoints)
    handlers: dict[str, Handler] = {}
    if identity_jwks:
        document = {"keys": [dict(jwk) for jwk in identity_jwks]}

        async def show_identity_jwks(_: web.Request) -> web.Response:
            return public_document(document)

        handlers[jwks_path] = elsewhere.but_for(("GET", "HEAD"), show_identity_jwks)
    if endpoints is not None:
        for name, path, methods in own_paths(endpoints.settings):
            handlers[path] = elsewhere.but_for(methods, _answering(endpoints, name, ENDPOINTS[name]))
        app.on_cleanup.append(_closing(endpoints))
    for path, handler in handlers.items():
        app.router.add_route("*", path, handler)
    app[HANDLERS] = handlers
    app.router.add_route("*", "/{path:.*}", elsewhere.but_for((), None))
    return app


def _answering(endpoints: Endpoints, name: str, endpoint: Endpoint) -> Answering:
    """Return a handler that turns refusals into their faces, and bugs into 500."""

    async def answer(request: web.Request) -> web.Response:
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
        if result != "ok":
            response.headers[OWN_REASON] = result
        return response

    return answer if endpoints.around is None else endpoints.around(name, answer)


class _Elsewhere:
    """What answers where there is no endpoint, or not with this method: in JSON, like everything else."""

    def __init__(self, endpoints: Endpoints | None) -> None:
        self._challenge = Challenge("gateway") if endpoints is None else endpoints.challenge
        self._request_id_header = REQUEST_ID if endpoints is None else endpoints.request_id_header

    def but_for(self, methods: tuple[str, ...], answering: Answering | None) -> Handler:
        """Return a handler that leaves these methods to another one, if there is one."""

        async def handle(request: web.Request) -> web.StreamResponse:
            if answering is not None and request.method in methods:
                response = await answering(request)
            elif answering is not None:
                response = self._refused(request, MethodNotAllowed("another method"))
                response.headers["Allow"] = ", ".join(sorted(methods))
            else:
                response = self._refused(request, NoRoute("no endpoint"))
            response.headers["Server"] = "gateway"
            return response

        return handle

    def _refused(self, request: web.Request, refusal: Refusal) -> web.Response:
        response = refusal_answer(refusal, self._challenge, request.headers.get(self._request_id_header, ""))
        response.headers[OWN_REASON] = refusal.reason
        return response


def _closing(endpoints: Endpoints) -> Callable[[web.Application], Awaitable[None]]:
    async def close(_: web.Application) -> None:
        endpoints.close()

    return close
