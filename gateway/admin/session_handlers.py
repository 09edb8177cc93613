"""See who is logged in, and end it. Every change is in the audit log."""

from collections.abc import Awaitable
from typing import TypeVar

from aiohttp import web

from gateway.admin.cutting import read_cutting
from gateway.admin.parts import ACTOR, PARTS, PREFIX
from gateway.admin.reading import body_of, device_of
from gateway.model.errors import NoRoute
from gateway.model.revocation import Level
from gateway.model.session import EndReason, Session
from gateway.telemetry.audit import AuditLog
from gateway.telemetry.log import Log

T = TypeVar("T")

_SUBJECT = PREFIX + "/subjects/{subject:[^/]+}"


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


class SessionHandlers:
    def __init__(self, log: Log, audit: AuditLog) -> None:
        self._log = log
        self._audit_log = audit

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(_SUBJECT + "/sessions", self.list_sessions),
            web.delete(_SUBJECT + "/sessions", self.end_sessions),
            web.post(_SUBJECT + "/credential-change", self.credential_change),
            web.delete(PREFIX + "/sessions/{sid}", self.end_session),
            web.post(PREFIX + "/revocations", self.cut_off),
        ]

    async def list_sessions(self, request: web.Request) -> web.Response:
        """All of a subject; with `?device=…` those of one device."""
        sessions = await request[PARTS].service.sessions_of(request.match_info["subject"], device_of(request))
        return web.json_response({"sessions": [shown(session) for session in sessions]})

    async def end_sessions(self, request: web.Request) -> web.Response:
        """All of a subject; with `?device=…` those of one device."""
        subject, device, service = request.match_info["subject"], device_of(request), request[PARTS].service
        if device is None:
            work = service.end_subject(subject, EndReason.ADMIN)
        else:
            work = service.enddevice_of(subject, device, EndReason.ADMIN)
        number = await self._audited(request, "end_sessions", work, subject=subject, device=device)
        return web.json_response({"ended": number})

    async def credential_change(self, request: web.Request) -> web.Response:
        """A password was changed or a factor removed: whoever is logged in must log in again."""
        subject = request.match_info["subject"]
        work = request[PARTS].service.end_subject(subject, EndReason.CREDENTIAL_CHANGE)
        number = await self._audited(request, "credential_change", work, subject=subject)
        return web.json_response({"ended": number})

    async def end_session(self, request: web.Request) -> web.Response:
        sid = request.match_info["sid"]
        work = request[PARTS].service.end(sid, EndReason.ADMIN)
        if not await self._audited(request, "end_session", work, session=sid):
            raise NoRoute("no such session")
        return web.Response(status=204)

    async def cut_off(self, request: web.Request) -> web.Response:
        """Make void what was issued until now. Sessions of our own also end."""
        parts = request[PARTS]
        what = read_cutting(await body_of(request), parts.issuer, parts.issuers)
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
            fields = {"actor": request[ACTOR], "action": action, **target, "ended": number, "confirmed": is_confirmed}
            self._log.warning("admin_change", **fields)
            self._audit_log.write("admin_change", **fields)
        return number
