"""What the handlers of the admin API work with, and what they know of the request that they answer."""

from dataclasses import dataclass
from typing import Any, Protocol

from aiohttp import web

from gateway.admin.admission import Admission
from gateway.admin.roles import Actor
from gateway.engine.question import Question
from gateway.engine.sessions import SessionService
from gateway.telemetry.decision_settings import DecisionSettings
from gateway.telemetry.decisions import Wanted

Json = dict[str, Any]

PREFIX = "/admin/api/v1"


class Insight(Protocol):
    """Tells of the gateway: of all its workers together."""

    async def counters(self) -> Json: ...
    async def routes(self, search: str, limit: int, offset: int) -> Json: ...
    async def refusing_routes(self, search: str, most: int) -> Json: ...
    async def upstreams(self) -> Json: ...
    async def keys(self) -> Json: ...
    async def decisions(self, wanted: Wanted, most: int) -> Json: ...
    async def decision(self, request_id: str) -> Json | None: ...
    async def explain(self, question: Question) -> Json: ...
    async def configuration(self) -> Json: ...
    async def reload(self) -> None: ...


@dataclass(frozen=True, slots=True)
class AdminParts:
    """What the application asks. `issuer` is our own; `issuers` are all whose tokens pass here.

    Without sessions there are neither `service` nor `issuer`.
    """

    insight: Insight
    admission: Admission
    decisions: DecisionSettings
    service: SessionService | None
    issuer: str | None
    issuers: frozenset[str]


PARTS: web.RequestKey[AdminParts] = web.RequestKey("parts", AdminParts)
ACTOR: web.RequestKey[Actor] = web.RequestKey("actor", Actor)
"""Who is calling, but on public routes."""
