"""Requests that another site makes a browser send (cross-site request forgery)."""

from aiohttp import web

from gateway.mechanisms.sources import is_from_own_site
from gateway.model.errors import CrossSiteRequest


def require_own_site(request: web.Request, origins: frozenset[str]) -> None:
    """Refuse a request whose cookies count, unless its sender proves to be one of our pages.

    Raises CrossSiteRequest.
    """
    if not _is_own(request, origins):
        raise CrossSiteRequest("a cookie without an allowed Origin")


def is_foreign(request: web.Request, origins: frozenset[str]) -> bool:
    """Say whether a browser tells that another site's page sent this. Programs say nothing, and are not foreign."""
    says_something = "Origin" in request.headers or "Sec-Fetch-Site" in request.headers
    return says_something and not _is_own(request, origins)


def _is_own(request: web.Request, origins: frozenset[str]) -> bool:
    return is_from_own_site(_one(request, "Origin"), _one(request, "Sec-Fetch-Site"), origins)


def _one(request: web.Request, name: str) -> str:
    values = request.headers.getall(name, [])
    return values[0] if len(values) == 1 else ""
