"""The admin API over HTTP, `/admin/api/v1`: what this gateway does, who is logged in, and ending it."""

from collections.abc import Callable

from aiohttp import web

from gateway.admin.auditing import Auditor
from gateway.admin.console_pages import console_routes
from gateway.admin.guard import guarded
from gateway.admin.insight_handlers import InsightHandlers
from gateway.admin.openapi import openapi_routes
from gateway.admin.parts import AdminParts
from gateway.admin.reading import BODY_BYTES
from gateway.admin.roles import public
from gateway.admin.session_handlers import SessionHandlers
from gateway.telemetry.audit import AuditLog
from gateway.telemetry.log import Log

LINE_BYTES = 8192
"""The longest request line: a subject may be long, and has up to three characters for each byte."""


def admin_application(parts: Callable[[], AdminParts], log: Log, audit: AuditLog) -> web.Application:
    """Return the application. `parts` gives what holds for a request that comes now, from its begin to its end."""
    app = web.Application(client_max_size=BODY_BYTES, middlewares=[guarded(parts, log, audit)])
    auditor = Auditor(log, audit)
    app.add_routes([*SessionHandlers(auditor).routes(), *InsightHandlers(auditor).routes(), *openapi_routes()])
    app.add_routes([public(each) for each in console_routes()])
    return app
