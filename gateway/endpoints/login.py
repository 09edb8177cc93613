"""The login and sign-up endpoints: credentials in, a session out."""

from aiohttp import web

from gateway.endpoints.answers import redirect_answer, token_answer
from gateway.endpoints.clients import Client
from gateway.endpoints.context import Endpoints, client_address
from gateway.endpoints.cross_site import is_foreign
from gateway.endpoints.exchanging import requested_scope
from gateway.endpoints.forms import Parameters, read_any
from gateway.endpoints.granting import granted_scope
from gateway.endpoints.labels import address_label, device_label
from gateway.endpoints.redirects import requested_redirect
from gateway.engine.sessions import Opening
from gateway.mechanisms.logins.backend import BackendLoginSettings
from gateway.mechanisms.logins.base import Attempt, Login
from gateway.model.errors import CrossSiteRequest, MalformedGrantRequest
from gateway.telemetry.audit_asker import note_login


async def login(endpoints: Endpoints, request: web.Request) -> web.Response:
    assert endpoints.login is not None
    settings = endpoints.settings.login
    return await _logged_in(endpoints, request, endpoints.login, None if settings is None else settings.backend)


async def signup(endpoints: Endpoints, request: web.Request) -> web.Response:
    assert endpoints.signup is not None
    return await _logged_in(endpoints, request, endpoints.signup, endpoints.settings.signup)


async def _logged_in(
    endpoints: Endpoints, request: web.Request, proof: Login, backend: BackendLoginSettings | None
) -> web.Response:
    parameters = await read_any(request)
    redirect = requested_redirect(endpoints, parameters)
    kind = endpoints.settings.answer.login if redirect is None else "cookies"
    if kind == "cookies" and is_foreign(request, endpoints.settings.cookies.origins):
        raise CrossSiteRequest("another site's page logs somebody in")
    attempt = _attempt(request, parameters, backend)
    note_login(attempt.username)
    client = await _client(endpoints, request, parameters)
    asked = requested_scope(parameters)
    user = await proof.prove(attempt)
    available = endpoints.settings.scope if user.scope is None else user.scope
    issued = await endpoints.service.open(
        Opening(
            subject=user.subject,
            client_id=client.id,
            scope=granted_scope(client, available, asked),
            claims=user.claims,
            device=attempt.device,
            address=address_label(attempt.address),
        )
    )
    if redirect is not None:
        return redirect_answer(endpoints, issued, redirect, with_refresh=client.may_refresh)
    return token_answer(endpoints, issued, kind, with_refresh=client.may_refresh)


def _attempt(request: web.Request, parameters: Parameters, backend: BackendLoginSettings | None) -> Attempt:
    """Return what is to be proven. The two fields may also be called as the backend calls them."""
    name_field = "username" if backend is None else backend.username_field
    password_field = "password" if backend is None else backend.password_field
    return Attempt(
        username=parameters.text("username") or parameters.required(name_field),
        password=parameters.text("password") or parameters.required(password_field),
        address=client_address(request),
        fields=parameters.without("username", "password", name_field, password_field, "client_secret"),
        device=device_label(parameters.text("device"), request.headers.get("User-Agent")),
        headers={name.lower(): value for name, value in request.headers.items()},
    )


async def _client(endpoints: Endpoints, request: web.Request, parameters: Parameters) -> Client:
    client = await endpoints.clients.identify(request, parameters)
    if client is None and endpoints.settings.default_client is not None:
        client = endpoints.clients.get(endpoints.settings.default_client)
    if client is None:
        raise MalformedGrantRequest("client_id is missing, and there is no default_client")
    return client
