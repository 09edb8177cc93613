"""What a refused client sees of an endpoint."""

from aiohttp import web

from gateway.endpoints.answers import NO_STORE, clear_cookies
from gateway.endpoints.context import Endpoints
from gateway.endpoints.cross_site import is_foreign
from gateway.model.errors import Declined, InvalidGrant, Refusal, RefusedRefreshToken
from gateway.model.faces import Challenge, face


def refused(endpoints: Endpoints, request: web.Request, name: str, refusal: Refusal) -> web.Response:
    """Return the answer of the endpoint called `name`, in its error profile."""
    if isinstance(refusal, Declined) and refusal.answer is not None:
        return web.Response(
            status=refusal.answer_status, body=refusal.answer, content_type="application/json", headers=NO_STORE
        )
    request_id = request.headers.get(endpoints.request_id_header, "")
    if not (isinstance(refusal, InvalidGrant) and _is_bearer(endpoints, name)):
        return refusal_answer(refusal, endpoints.challenge, request_id)
    response = refusal_answer(RefusedRefreshToken(str(refusal)), endpoints.challenge, request_id)
    if not is_foreign(request, endpoints.settings.cookies.origins):
        clear_cookies(endpoints, response)
    return response


def refusal_answer(refusal: Refusal, challenge: Challenge, request_id: str) -> web.Response:
    """Return the public face of a refusal as an answer."""
    shown = face(refusal, challenge, request_id)
    response = web.Response(status=shown.status, body=shown.body)
    response.headers.extend(shown.headers)
    response.headers["Pragma"] = "no-cache"
    return response


def _is_bearer(endpoints: Endpoints, name: str) -> bool:
    errors = endpoints.settings.errors
    return {"token": errors.token, "refresh": errors.refresh}.get(name) == "bearer"
