"""Lets nobody pass who may not, not even to see what there is; and makes refusals answers.

In this order: how often an address may ask; whether another site's page made a browser ask; who asks; what they may do.
"""

import math
import secrets
from collections.abc import Callable
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from gateway.admin.admission import Admission
from gateway.admin.browsers import require_own_page
from gateway.admin.certificates import Certificate, certificate_of
from gateway.admin.parts import ACTOR, PARTS, AdminParts
from gateway.admin.reading import BODY_BYTES
from gateway.admin.roles import needed_role
from gateway.config.compile_listeners import ServerContext
from gateway.engine.rate_limits import counted_network
from gateway.model.errors import (
    InternalError,
    MalformedGrantRequest,
    MethodNotAllowed,
    NoRoute,
    OversizedBody,
    RateLimited,
    ReadOnly,
    Refusal,
    UnsupportedMediaType,
)
from gateway.model.faces import Challenge, face
from gateway.model.request import InboundRequest, Peer
from gateway.state.rate_table import RateTable
from gateway.telemetry.audit import AuditLog
from gateway.telemetry.audit_asker import ASKER, Asker, note_actor
from gateway.telemetry.log import Log

_CHALLENGE = Challenge("gateway admin")
_ADDRESSES: Final = 4096
"""Addresses whose requests are counted at the same time."""
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
"""Of answers that do not say otherwise."""


def guarded(parts: Callable[[], AdminParts], log: Log, audit: AuditLog) -> Middleware:
    """Return the middleware. `parts` gives what holds for a request that comes now, from its begin to its end."""
    rates = RateTable(_ADDRESSES)

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        request_id = secrets.token_hex(8)
        ASKER.set(Asker(request_id=request_id, address=request.remote))
        is_outdated = False
        try:
            request[PARTS] = now = parts()
            is_outdated = _authorities(request) != now.admission.authorities
            _count(request, now.admission, rates)
            await _admit(request, now.admission)
            response = await handler(request)
        except Exception as error:  # noqa: BLE001 - fail closed, without a word of the request
            response = _answered(error, request_id)
            if not isinstance(error, Refusal):
                _report(error, response, log)
            elif not isinstance(error, RateLimited):  # a flood would fill the audit log
                audit.write("admin_refused", reason=error.reason, method=request.method, path=request.path)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers["Server"] = "gateway"
        response.headers["X-Request-ID"] = request_id
        if is_outdated:
            response.force_close()
        return response

    return guard


def _count(request: web.Request, admission: Admission, rates: RateTable) -> None:
    """Count a request, whatever becomes of it. Raises RateLimited."""
    if admission.rate_limit is None:
        return
    limit = admission.rate_limit
    over = rates.take([(limit, (limit.name, counted_network(request.remote or "unix")))])
    if over is not None:
        raise RateLimited(f"{limit}; {over.wait:.3f} s too early", retry_after=math.ceil(over.wait))


async def _admit(request: web.Request, admission: Admission) -> None:
    """Find out who is calling. Raises a refusal, also for what they may not do."""
    role = needed_role(request.match_info.handler)
    if role is None:
        return
    head = _head(request)
    require_own_page(head)
    request[ACTOR] = actor = await admission.actor(head, _certificate(request, admission))
    note_actor(actor.name)
    if request.match_info.http_exception is not None:
        return
    if role != "read" and actor.role != "write":
        raise ReadOnly("this takes the role write")
    if request.can_read_body and _media_type(head) != b"application/json":
        raise UnsupportedMediaType("a body is application/json")


def _certificate(request: web.Request, admission: Admission) -> Certificate | None:
    """Return the client's certificate, unless its connection was made when other authorities counted, or none."""
    authorities = _authorities(request)
    if request.transport is None or authorities is None or authorities != admission.authorities:
        return None
    return certificate_of(request.transport.get_extra_info("peercert"))


def _authorities(request: web.Request) -> bytes | None:
    """Return those that the client was proven by when its connection was made."""
    context = None if request.transport is None else request.transport.get_extra_info("sslcontext")
    return context.clients if isinstance(context, ServerContext) else None


def _media_type(request: InboundRequest) -> bytes:
    return (request.one(b"content-type") or b"").partition(b";")[0].strip(b" \t").lower()


def _head(request: web.Request) -> InboundRequest:
    return InboundRequest(
        request.method,
        request.path_qs.encode(),
        list(request.raw_headers),
        Peer(request.remote or "unix"),
        secure=request.secure,
    )


def _report(error: Exception, response: web.StreamResponse, log: Log) -> None:
    if response.status == InternalError.status:
        log.error("bug", place="admin", error=type(error).__name__)


def _answered(error: Exception, request_id: str) -> web.StreamResponse:
    """Return the answer to a request that failed. What nobody has thought of is our fault."""
    match error:
        case Refusal():
            return _refused(error, request_id)
        case web.HTTPNotFound():
            return _refused(NoRoute("no such path"), request_id)
        case web.HTTPMethodNotAllowed(allowed_methods=allowed):
            answer = _refused(MethodNotAllowed("another method"), request_id)
            answer.headers["Allow"] = ", ".join(sorted(allowed))
            return answer
        case web.HTTPRequestEntityTooLarge():
            return _refused(OversizedBody(f"longer than {BODY_BYTES} bytes"), request_id)
        case web.RequestPayloadError():
            return _refused(MalformedGrantRequest(type(error).__name__), request_id)
    return _refused(InternalError(type(error).__name__), request_id)


def _refused(refusal: Refusal, request_id: str) -> web.StreamResponse:
    shown_face = face(refusal, _CHALLENGE, request_id)
    response = web.Response(status=shown_face.status, body=shown_face.body)
    response.headers.extend(shown_face.headers)
    return response
