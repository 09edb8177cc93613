"""How tokens travel to a client: in the body, in headers, or in cookies."""

import json
from typing import Any

from aiohttp import web

from gateway.config.session_endpoints import AnswerKind
from gateway.config.sessions import access_cookie
from gateway.endpoints.context import Endpoints
from gateway.endpoints.whole import WholeResponse
from gateway.engine.token_cookies import cookie_line, refresh_age
from gateway.model.session import Issued

NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
"""RFC 6749 §5.1."""
_JSON = {**NO_STORE, "Content-Type": "application/json; charset=utf-8"}


def token_answer(
    endpoints: Endpoints, issued: Issued, kind: AnswerKind, *, with_refresh: bool = True, status: int = 200
) -> web.Response:
    """Return the answer that carries a pair, or the access token only. RFC 6749 §5.1."""
    refresh_token = issued.refresh_token if with_refresh else None
    body: dict[str, Any] = {"token_type": "Bearer", "expires_in": issued.expires_in, "scope": issued.scope}
    in_body: dict[str, str] = {}
    if kind == "json" or (kind == "cookies" and not endpoints.settings.cookies.access_cookie):
        in_body["access_token"] = issued.access_token
    is_refresh_in_body = kind == "json" or (kind == "cookies" and not endpoints.settings.cookies.refresh_cookie)
    if is_refresh_in_body and refresh_token is not None:
        in_body["refresh_token"] = refresh_token
    response = json_answer({**in_body, **body}, status=status)
    if kind == "headers":
        access_header, refresh_header = endpoints.token_headers
        response.headers[access_header] = issued.access_token
        if refresh_token is not None:
            response.headers[refresh_header] = refresh_token
    if kind == "cookies":
        set_cookies(endpoints, response, issued, refresh_token)
    return response


def json_answer(document: dict[str, Any], *, status: int = 200) -> web.Response:
    """Return a document that nobody may keep."""
    return WholeResponse(body=json.dumps(document).encode(), status=status, headers=_JSON)


def redirect_answer(endpoints: Endpoints, issued: Issued, target: str, *, with_refresh: bool) -> web.Response:
    """Return a redirect that carries a pair in cookies: never one that repeats the request (RFC 9700 §4.12)."""
    response = see_other(target)
    set_cookies(endpoints, response, issued, issued.refresh_token if with_refresh else None)
    return response


def see_other(target: str) -> web.Response:
    """Return a redirect to a target of the configuration."""
    return web.Response(status=303, headers={**NO_STORE, "Location": target})


def set_cookies(endpoints: Endpoints, response: web.StreamResponse, issued: Issued, refresh_token: str | None) -> None:
    """Put a pair into cookies, each token as far as the configuration has a cookie for it."""
    cookies, now = endpoints.settings.cookies, endpoints.clock()
    if cookies.access_cookie:
        response.headers.add("Set-Cookie", access_cookie(endpoints.settings).line(issued, now))
    if cookies.refresh_cookie and refresh_token is not None:
        age, path = refresh_age(issued, now), cookies.refresh_path
        line = cookie_line(cookies.refresh, refresh_token, max_age=age, path=path, same_site=cookies.same_site)
        response.headers.add("Set-Cookie", line)


def clear_cookies(endpoints: Endpoints, response: web.StreamResponse) -> None:
    """Make a browser forget both cookies."""
    cookies = endpoints.settings.cookies
    for name, path in ((cookies.access, "/"), (cookies.refresh, cookies.refresh_path)):
        response.del_cookie(name, path=path, secure=True, httponly=True, samesite=cookies.same_site.capitalize())
