"""The admin API over HTTP, `/admin/api/v1`: see who is logged in, and end it. Every change is in the audit log."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from gateway.admin.admission import Admission
from gateway.admin.cutting import read_cutting
from gateway.engine.sessions import SessionService
from gateway.model.errors import (
    InternalError,
    MalformedGrantRequest,
    MethodNotAllowed,
    NoRoute,
    OversizedBody,
    Refusal,
    SlowRequest,
)
from gateway.model.faces import Challenge, face
from gateway.model.request import InboundRequest, Peer
from gateway.model.revocation import Level
from gateway.model.session import EndReason, Session
from gateway.telemetry.audit import AuditLog
from gateway.telemetry.audit_asker import ASKER, Asker, note_actor
from gateway.telemetry.log import Log

T = TypeVar("T")

PREFIX = "/admin/api/v1"
LINE_BYTES = 8192
"""The longest request line: a subject may be long, and has up to three characters for each byte."""

_BODY_BYTES = 64 * 1024
_BODY_SECONDS = 10.0
_CHALLENGE = Challenge("gateway admin")
_ACTOR: web.RequestKey[str] = web.RequestKey("actor", str)
_SUBJECT = PREFIX + "/subjects/{subject:[^/]+}"


@dataclass(frozen=True, slots=True)
class AdminParts:
    """What the application asks. `issuer` is our own; `issuers` are all whose tokens pass here."""

    service: SessionService
    admission: Admission
    issuer: str
    issuers: frozenset[str]


_PARTS: web.RequestKey[AdminParts] = web.RequestKey("parts", AdminParts)


def admin_application(parts: Callable[[], AdminParts], log: Log, audit: AuditLog) -> web.Application:
    """Return the application. `parts` gives what holds for a request that comes now, from its begin to its end."""
    app = web.Application(client_max_size=_BODY_BYTES, middlewares=[_guard(parts, log, audit)])
    admin = _Admin(log, audit)
    app.add_routes(
        [
            web.get(_SUBJECT + "/sessions", admin.list_sessions),
            web.delete(_SUBJECT + "/sessions", admin.end_sessions),
            web.post(_SUBJECT + "/credential-change", admin.credential_change),
            web.delete(PREFIX + "/sessions/{sid}", admin.end_session),
            web.post(PREFIX + "/revocations", admin.cut_off),
        ]
    )
    return app


def shown(session: Session) -> dict[str, object]:
    """Return what operators see of a session. Times are Unix seconds."""
    return {
        "id": session.sid,
        "subject": session.subject,
        "client_id": session.client_id,
        "device": session.device,
        "address": session.address,
        "scope": session.scope,
        "created_at": session.created_at,
        "last_used_at": session.last_used_at,
        "expires_at": session.expires_at,
        "generation": session.generation,
    }


class _Admin:
    def __init__(self, log: Log, audit: AuditLog) -> None:
        self._log = log
        self._audit_log = audit

    async def list_sessions(self, request: web.Request) -> web.Response:
        """All of a subject; with `?device=…` those of one device."""
        sessions = await request[_PARTS].service.sessions_of(request.match_info["subject"], _device(request))
        return web.json_response({"sessions": [shown(session) for session in sessions]})

    async def end_sessions(self, request: web.Request) -> web.Response:
        """All of a subject; with `?device=…` those of one device."""
        subject, device, service = request.match_info["subject"], _device(request), request[_PARTS].service
        if device is None:
            work = service.end_subject(subject, EndReason.ADMIN)
        else:
            work = service.end_device(subject, device, EndReason.ADMIN)
        number = await self._audited(request, "end_sessions", work, subject=subject, device=device)
        return web.json_response({"ended": number})

    async def credential_change(self, request: web.Request) -> web.Response:
        """A password was changed or a factor removed: whoever is logged in must log in again."""
        subject = request.match_info["subject"]
        work = request[_PARTS].service.end_subject(subject, EndReason.CREDENTIAL_CHANGE)
        number = await self._audited(request, "credential_change", work, subject=subject)
        return web.json_response({"ended": number})

    async def end_session(self, request: web.Request) -> web.Response:
        sid = request.match_info["sid"]
        work = request[_PARTS].service.end(sid, EndReason.ADMIN)
        if not await self._audited(request, "end_session", work, session=sid):
            raise NoRoute("no such session")
        return web.Response(status=204)

    async def cut_off(self, request: web.Request) -> web.Response:
        """Make void what was issued until now. Sessions of our own also end."""
        parts = request[_PARTS]
        what = read_cutting(await _body(request), parts.issuer, parts.issuers)
        is_ours, service = what.issuer == parts.issuer, parts.service
        work: Awaitable[object]
        if what.level is Level.SUBJECT and is_ours:
            work = service.end_subject(what.name, EndReason.ADMIN)
        elif what.level is Level.SESSION and is_ours:
            work = service.end(what.name, EndReason.ADMIN)
        else:
            work = service.cut_off(what.level, what.issuer, what.name)
        fields = {"what": what.level.name.lower(), "issuer": what.issuer, "name": what.name}
        await self._audited(request, "cut_off", work, **fields)
        return web.Response(status=204)

    async def _audited(self, request: web.Request, action: str, work: Awaitable[T], **target: object) -> T:
        """Do it, and put it into the audit log: also what nobody could confirm, since that may hold all the same."""
        is_confirmed = False
        number: T | None = None
        try:
            number = await work
            is_confirmed = True
        finally:
            fields = {"actor": request[_ACTOR], "action": action, **target, "ended": number, "confirmed": is_confirmed}
            self._log.warning("admin_change", **fields)
            self._audit_log.write("admin_change", **fields)
        return number


def _device(request: web.Request) -> str | None:
    """Return the device that is asked for. Raises MalformedGrantRequest: a misspelt word would end too much."""
    if [name for name, _ in request.query.items()] not in ([], ["device"]):
        raise MalformedGrantRequest("device is the only parameter, and comes once")
    return request.query.get("device")


def _guard(parts: Callable[[], AdminParts], log: Log, audit: AuditLog) -> Middleware:
    """Return what lets nobody pass who may not, not even to see what there is; and what makes refusals answers."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        ASKER.set(Asker(address=request.remote))
        try:
            request[_PARTS] = now = parts()
            request[_ACTOR] = await now.admission.actor(_head(request))
            note_actor(request[_ACTOR])
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
            response = _refused(OversizedBody(f"longer than {_BODY_BYTES} bytes"))
        except web.RequestPayloadError as error:
            response = _refused(MalformedGrantRequest(type(error).__name__))
        except Exception as error:  # noqa: BLE001 - fail closed, without a word of the request
            log.error("bug", place="admin", error=type(error).__name__)
            response = _refused(InternalError(type(error).__name__))
        response.headers["Cache-Control"] = "no-store"
        response.headers["Server"] = "gateway"
        return response

    return guard


async def _body(request: web.Request) -> bytes:
    """Return the body, in time: for one with a broken chunk aiohttp would wait for ever."""
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            return await request.read()
    except TimeoutError as error:
        raise SlowRequest(f"no whole body within {_BODY_SECONDS:g} s") from error


def _head(request: web.Request) -> InboundRequest:
    return InboundRequest(
        request.method, request.path_qs.encode(), list(request.raw_headers), Peer(request.remote or "")
    )


def _refused(refusal: Refusal) -> web.StreamResponse:
    shown_face = face(refusal, _CHALLENGE, "-")
    response = web.Response(status=shown_face.status, body=shown_face.body)
    response.headers.extend(shown_face.headers)
    return response
