"""See who is logged in, and end it. Every change is in the audit log."""

from collections.abc import Awaitable

from aiohttp import web

from gateway.admin.auditing import Auditor
from gateway.admin.cutting import read_cutting
from gateway.admin.parts import PARTS, PREFIX
from gateway.admin.reading import Parameters, body_of, device_of
from gateway.admin.roles import readable
from gateway.engine.sessions import SessionService
from gateway.model.errors import NoRoute
from gateway.model.revocation import Level
from gateway.model.session import EndReason, Session

_SESSION = PREFIX + "/sessions/{sid:[^/]+}"
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
    """Answer in JSON what `SessionService` says."""

    def __init__(self, auditor: Auditor) -> None:
        self._auditor = auditor

    def routes(self) -> list[web.RouteDef]:
        return [
            readable(web.get(_SUBJECT + "/sessions", self.list_sessions)),
            web.delete(_SUBJECT + "/sessions", self.end_sessions),
            web.post(_SUBJECT + "/credential-change", self.credential_change),
            readable(web.get(_SESSION, self.show_session)),
            web.delete(_SESSION, self.end_session),
            web.post(PREFIX + "/revocations", self.cut_off),
        ]

    async def list_sessions(self, request: web.Request) -> web.Response:
        """All of a subject; with `?device=…` those of one device."""
        sessions = await _service(request).sessions_of(request.match_info["subject"], device_of(request))
        return web.json_response({"sessions": [shown(session) for session in sessions]})

    async def end_sessions(self, request: web.Request) -> web.Response:
        """All of a subject; with `?device=…` those of one device."""
        subject, device, service = request.match_info["subject"], device_of(request), _service(request)
        if device is None:
            work = service.end_subject(subject, EndReason.ADMIN)
        else:
            work = service.end_device(subject, device, EndReason.ADMIN)
        number = await self._auditor.done(request, "end_sessions", work, subject=subject, device=device)
        return web.json_response({"ended": number})

    async def credential_change(self, request: web.Request) -> web.Response:
        """A password was changed or a factor removed: whoever is logged in must log in again."""
        Parameters(request).only()
        subject = request.match_info["subject"]
        work = _service(request).end_subject(subject, EndReason.CREDENTIAL_CHANGE)
        number = await self._auditor.done(request, "credential_change", work, subject=subject)
        return web.json_response({"ended": number})

    async def show_session(self, request: web.Request) -> web.Response:
        """One that has not ended."""
        Parameters(request).only()
        session = await _service(request).live_session(request.match_info["sid"])
        if session is None:
            raise NoRoute("no such session")
        return web.json_response(shown(session))

    async def end_session(self, request: web.Request) -> web.Response:
        Parameters(request).only()
        sid = request.match_info["sid"]
        work = _service(request).end(sid, EndReason.ADMIN)
        if not await self._auditor.done(request, "end_session", work, session=sid):
            raise NoRoute("no such session")
        return web.Response(status=204)

    async def cut_off(self, request: web.Request) -> web.Response:
        """Make void what was issued until now. Sessions of our own also end."""
        Parameters(request).only()
        parts, service = request[PARTS], _service(request)
        what = read_cutting(await body_of(request), parts.issuer or "", parts.issuers)
        is_ours = what.issuer == parts.issuer
        work: Awaitable[object]
        if what.level is Level.SUBJECT and is_ours:
            work = service.end_subject(what.name, EndReason.ADMIN)
        elif what.level is Level.SESSION and is_ours:
            work = service.end(what.name, EndReason.ADMIN)
        else:
            work = service.cut_off(what.level, what.issuer, what.name)
        fields = {"what": what.level.name.lower(), "issuer": what.issuer, "name": what.name}
        await self._auditor.done(request, "cut_off", work, **fields)
        return web.Response(status=204)


def _service(request: web.Request) -> SessionService:
    """Return what has to do with sessions. Raises NoRoute where there are none."""
    service = request[PARTS].service
    if service is None:
        raise NoRoute("this gateway has no sessions")
    return service
