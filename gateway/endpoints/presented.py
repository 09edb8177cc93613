"""The tokens that a request to refresh or to log out brings: in its body, in `Authorization`, or in cookies."""

from dataclasses import dataclass, field

from aiohttp import web

from gateway.endpoints.clients import bearer_token
from gateway.endpoints.context import Endpoints
from gateway.endpoints.cross_site import require_own_site
from gateway.endpoints.forms import Parameters
from gateway.model.errors import MalformedGrantRequest


@dataclass(frozen=True, slots=True)
class PresentedTokens:
    refresh: str | None = field(repr=False)
    access: str | None = field(repr=False)
    in_cookies: bool = False


def presented_tokens(endpoints: Endpoints, request: web.Request, parameters: Parameters) -> PresentedTokens:
    """Return the tokens. Cookies count only where nothing else came. Raises CrossSiteRequest where they may not.

    `Authorization: Bearer` is an access token, here alone even an expired one.
    """
    refresh, access = parameters.text("refresh_token"), parameters.text("access_token")
    bearer = bearer_token(request)
    if access is not None and bearer is not None:
        raise MalformedGrantRequest("two access tokens")
    access = access or bearer
    if refresh is not None:
        return PresentedTokens(refresh, access)
    cookies = endpoints.settings.cookies
    refresh_cookie = _cookie(request, cookies.refresh) if cookies.refresh_cookie else None
    access_cookie = _cookie(request, cookies.access)
    if refresh_cookie is None and (access is not None or access_cookie is None):
        return PresentedTokens(None, access)
    require_own_site(request, cookies.origins)
    return PresentedTokens(refresh_cookie, access or access_cookie, in_cookies=True)


def _cookie(request: web.Request, name: str) -> str | None:
    """Return a cookie. Raises MalformedGrantRequest if there are several: a neighbouring host may have set one.

    Only spaces and tabs are stripped: behind other white space stands a name that any host may set, whatever it is.
    """
    values = [
        value
        for header in request.headers.getall("Cookie", [])
        for cookie, _, value in (pair.strip(" \t").partition("=") for pair in header.split(";"))
        if cookie == name
    ]
    if len(values) > 1:
        raise MalformedGrantRequest(f"several cookies {name}")
    return values[0] if values and values[0] else None
