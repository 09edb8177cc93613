"""The files of the console, as they are: read once, with headers under which nothing else runs in the page."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from aiohttp import web

ROOT = "/admin/"
_DIRECTORY = Path(__file__).parent / "console"
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_FILES: Final = (
    "index.html",
    "console.css",
    "icon.svg",
    "theme.js",
    "main.js",
    "api.js",
    "charts.js",
    "choices.js",
    "decision.js",
    "decisions.js",
    "dom.js",
    "en.js",
    "explain.js",
    "filters.js",
    "format.js",
    "keys.js",
    "ko.js",
    "overview.js",
    "parts.js",
    "polling.js",
    "rates.js",
    "routes.js",
    "sessions.js",
    "settings.js",
    "shortcuts.js",
    "sign_in.js",
    "words.js",
)
"""All that is served: a file that somebody puts beside them is not."""

_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def console_routes() -> list[web.RouteDef]:
    """Return the routes of the page and its files, for GET and HEAD; these tell nothing about a gateway.

    Raises OSError for a file that is missing.
    """
    pages = {ROOT + name: _page((_DIRECTORY / name).read_bytes(), _TYPES[Path(name).suffix]) for name in _FILES}
    pages[ROOT] = pages[ROOT + "index.html"]
    return [web.get(ROOT.rstrip("/"), _lead), *(web.get(path, page) for path, page in pages.items())]


def _page(body: bytes, content_type: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def page(_: web.Request) -> web.Response:
        return web.Response(body=body, headers={**_HEADERS, "Content-Type": content_type})

    return page


async def _lead(_: web.Request) -> web.Response:
    return web.Response(status=308, headers={**_HEADERS, "Location": ROOT})
