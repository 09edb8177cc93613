"""The admin API over HTTP, `/admin/api/v1`: see who is logged in, and end it. Every change is in the audit log."""

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from gateway.admin.admission import Admission
from gateway.engine.sessions import SessionService
from gateway.model.errors import InternalError, MalformedGrantRequest, NoRoute, Refusal
from gateway.model.faces import Challenge, face
from gateway.model.request import InboundRequest, Peer
from gateway.model.revocation import Level
from gateway.model.session import EndReason, Session
from gateway.telemetry.log import Log
from gateway.tokens.strict_json import NotStrictJson, read_object

PREFIX = "/admin/api/v1"
_BODY_BYTES = 64 * 1024
_CHALLENGE = Challenge("gateway admin")
_CUT_OFF_LEVELS = {level.name.lower(): level for level in (Level.EVERYTHING, Level.ISSUER, Level.CLIENT, Level.SUBJECT)}
_ACTOR: web.RequestKey[str] = web.RequestKey("actor", str)


def admin_application(service: SessionService, admission: Admission, issuer: str, log: Log) -> web.Application:
    """Return the application. `issuer` is our own: what revocations are about that name no other."""
    app = web.Application(client_max_size=_BODY_BYTES, middlewares=[_guard(admission, log)])
    admin = _Admin(service, issuer, log)
    app.add_routes(
        [
            web.get(PREFIX + "/subjects/{subject}/sessions", admin.list_sessions),
            web.delete(PREFIX + "/subjects/{subject}/sessions", admin.end_sessions),
            web.post(PREFIX + "/subjects/{subject}/credential-change", admin.credential_change),
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
    def __init__(self, service: SessionService, issuer: str, log: Log) -> None:
        self._service = service
        self._issuer = issuer
        self._log = log

    async def list_sessions(self, request: web.Request) -> web.Response:
        sessions = await self._service.sessions_of(request.match_info["subject"])
        device = request.query.get("device")
        listed = [shown(session) for session in sessions if device is None or session.device == device]
        return web.json_response({"sessions": listed})

    async def end_sessions(self, request: web.Request) -> web.Response:
        """All of a subject; with `?device=…` those of one device."""
        subject = request.match_info["subject"]
        device = request.query.get("device")
        if device is None:
            number = await self._service.end_subject(subject, EndReason.ADMIN)
        else:
            sessions = [each for each in await self._service.sessions_of(subject) if each.device == device]
            number = sum([await self._service.end(each.sid, EndReason.ADMIN) for each in sessions])
        self._audit(request, "end_sessions", subject=subject, device=device, number=number)
        return web.json_response({"ended": number})

    async def credential_change(self, request: web.Request) -> web.Response:
        """A password was changed or a factor removed: whoever is logged in must log in again."""
        subject = request.match_info["subject"]
        number = await self._service.end_subject(subject, EndReason.CREDENTIAL_CHANGE)
        self._audit(request, "credential_change", subject=subject, number=number)
        return web.json_response({"ended": number})

    async def end_session(self, request: web.Request) -> web.Response:
        sid = request.match_info["sid"]
        if not await self._service.end(sid, EndReason.ADMIN):
            raise NoRoute("no such session")
        self._audit(request, "end_session", session=sid)
        return web.Response(status=204)

    async def cut_off(self, request: web.Request) -> web.Response:
        """Make void what was issued until now: `{"level": "client", "name": "web", "issuer": "https://…"}`."""
        try:
            body = read_object(await request.read())
        except NotStrictJson as error:
            raise MalformedGrantRequest(f"the body is not a JSON object: {error}") from error
        level = _CUT_OFF_LEVELS.get(str(body.get("level")))
        issuer, name = body.get("issuer", self._issuer), body.get("name", "")
        if level is None or type(issuer) is not str or type(name) is not str:
            raise MalformedGrantRequest(f"level is one of {', '.join(_CUT_OFF_LEVELS)}; issuer and name are text")
        if (level in (Level.CLIENT, Level.SUBJECT)) != bool(name):
            raise MalformedGrantRequest("name goes with the levels client and subject, and only with these")
        if level is Level.SUBJECT and issuer == self._issuer:
            await self._service.end_subject(name, EndReason.ADMIN)
        else:
            await self._service.cut_off(level, issuer, name)
        self._audit(request, "cut_off", level=level.name.lower(), issuer=issuer, name=name)
        return web.Response(status=204)

    def _audit(self, request: web.Request, action: str, **fields: object) -> None:
        self._log.warning("admin_change", actor=request[_ACTOR], action=action, **fields)


def _guard(admission: Admission, log: Log) -> Middleware:
    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            request[_ACTOR] = await admission.actor(_head(request))
            response = await handler(request)
        except Refusal as refusal:
            response = _refused(refusal)
        except web.HTTPException as error:
            response = _refused(NoRoute(error.reason), status=error.status, allow=error.headers.get("Allow"))
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


def _refused(refusal: Refusal, *, status: int | None = None, allow: str | None = None) -> web.Response:
    shown_face = face(refusal, _CHALLENGE, "-")
    headers = dict(shown_face.headers) | ({"Allow": allow} if allow else {})
    return web.Response(status=status or shown_face.status, headers=headers, body=shown_face.body)
