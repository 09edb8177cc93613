"""What the handlers of the admin API work with, and what they know of the request that they answer."""

from dataclasses import dataclass

from aiohttp import web

from gateway.admin.admission import Admission
from gateway.engine.sessions import SessionService

PREFIX = "/admin/api/v1"


@dataclass(frozen=True, slots=True)
class AdminParts:
    """What the application asks. `issuer` is our own; `issuers` are all whose tokens pass here."""

    service: SessionService
    admission: Admission
    issuer: str
    issuers: frozenset[str]


PARTS: web.RequestKey[AdminParts] = web.RequestKey("parts", AdminParts)
ACTOR: web.RequestKey[str] = web.RequestKey("actor", str)
"""Who is calling, for the audit log."""
