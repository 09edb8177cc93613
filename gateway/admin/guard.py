"""Lets nobody pass who may not, not even to see what there is; and makes refusals answers."""

from collections.abc import Callable

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from gateway.admin.parts import ACTOR, PARTS, AdminParts
from gateway.admin.reading import BODY_BYTES
from gateway.model.errors import InternalError, MalformedGrantRequest, MethodNotAllowed, NoRoute, OversizedBody, Refusal
from gateway.model.faces import Challenge, face
from gateway.model.request import InboundRequest, Peer
from gateway.telemetry.audit import AuditLog
from gateway.telemetry.audit_asker import ASKER, Asker, note_actor
from gateway.telemetry.log import Log

_CHALLENGE = Challenge("gateway admin")


def guarded(parts: Callable[[], AdminParts], log: Log, audit: AuditLog) -> Middleware:
    """Return the middleware. `parts` gives what holds for a request that comes now, from its begin to its end."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        ASKER.set(Asker(address=request.remote))
        try:
            request[PARTS] = now = parts()
            request[ACTOR] = await now.admission.actor(_head(request))
            note_actor(request[ACTOR])
            response = await handler(request)
        except Refusal as refusal:
            audit.write("admin_refused", reason=refusal.reason, method=request.method, path=request.path)
            response = _refused(refusal)
        except web.HTTPNotFound:
            response = _refused(NoRoute("no such path"))
        except web.HTTPMethodNotAllowed as error:
            response = _refused(MethodNotAllowed("another method"))
            response.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
        except web.HTTPRequestEntityTooLarge:
            response = _refused(OversizedBody(f"longer than {BODY_BYTES} bytes"))
        except web.RequestPayloadError as error:
            response = _refused(MalformedGrantRequest(type(error).__name__))
        except Exception as error:  # noqa: BLE001 - fail closed, without a word of the request
            log.error("bug", place="admin", error=type(error).__name__)
            response = _refused(InternalError(type(error).__name__))
        response.headers["Cache-Control"] = "no-store"
        response.headers["Server"] = "gateway"
        return response

    return guard


def _head(request: web.Request) -> InboundRequest:
    return InboundRequest(
        request.method, request.path_qs.encode(), list(request.raw_headers), Peer(request.remote or "")
    )


def _refused(refusal: Refusal) -> web.StreamResponse:
    shown_face = face(refusal, _CHALLENGE, "-")
    response = web.Response(status=shown_face.status, body=shown_face.body)
    response.headers.extend(shown_face.headers)
    return response
