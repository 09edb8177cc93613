"""Puts every change into the audit log."""

from collections.abc import Awaitable
from typing import TypeVar

from aiohttp import web

from gateway.admin.parts import ACTOR
from gateway.telemetry.audit import AuditLog
from gateway.telemetry.log import Log

T = TypeVar("T")


class Auditor:
    """Use as `await auditor.done(request, "end_session", work, session=sid)`."""

    def __init__(self, log: Log, audit: AuditLog) -> None:
        self._log = log
        self._audit_log = audit

    async def done(self, request: web.Request, action: str, work: Awaitable[T], **target: object) -> T:
        """Do it, and put it into the audit log: also what nobody could confirm, since that may hold all the same."""
        is_confirmed = False
        number: T | None = None
        try:
            number = await work
            is_confirmed = True
        finally:
            actor = request[ACTOR].name
            fields = {"actor": actor, "action": action, **target, "ended": number, "confirmed": is_confirmed}
            self._log.warning("admin_change", **fields)
            self._audit_log.write("admin_change", **fields)
        return number
