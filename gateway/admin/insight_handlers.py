"""See what the gateway does, and ask why it decided so. Nothing is changed here but by a reload."""

from aiohttp import web

from gateway import __version__
from gateway.admin.auditing import Auditor
from gateway.admin.parts import ACTOR, PARTS, PREFIX
from gateway.admin.question import read_question
from gateway.admin.reading import Parameters, body_of
from gateway.admin.roles import readable
from gateway.compiled import IS_COMPILED
from gateway.model.errors import NoRoute
from gateway.telemetry.decisions import Wanted

_MOST = 1000
_OUTCOMES = {"allow": False, "refuse": True}


class InsightHandlers:
    """Answer in JSON what `Insight` says."""

    def __init__(self, auditor: Auditor) -> None:
        self._auditor = auditor

    def routes(self) -> list[web.RouteDef]:
        return [
            readable(web.get(PREFIX + "/me", self.me)),
            readable(web.get(PREFIX + "/counters", self.counters)),
            readable(web.get(PREFIX + "/routes", self.list_routes)),
            readable(web.get(PREFIX + "/refusing-routes", self.refusing_routes)),
            readable(web.get(PREFIX + "/upstreams", self.upstreams)),
            readable(web.get(PREFIX + "/keys", self.keys)),
            readable(web.get(PREFIX + "/decisions", self.decisions)),
            readable(web.get(PREFIX + "/decisions/{request_id:[^/]+}", self.decision)),
            readable(web.post(PREFIX + "/explain", self.explain)),
            readable(web.get(PREFIX + "/config", self.configuration)),
            web.post(PREFIX + "/reload", self.reload),
        ]

    async def me(self, request: web.Request) -> web.Response:
        """Who is calling, and what this gateway is."""
        Parameters(request).only()
        actor, parts = request[ACTOR], request[PARTS]
        gateway = {
            "version": __version__,
            "compiled": IS_COMPILED,
            "issuer": parts.issuer,
            "has_sessions": parts.service is not None,
            "decisions": parts.decisions.model_dump(mode="json"),
        }
        return web.json_response({"actor": actor.name, "role": actor.role, "gateway": gateway})

    async def counters(self, request: web.Request) -> web.Response:
        """Totals since the start: who asks twice gets rates."""
        Parameters(request).only()
        return web.json_response(await request[PARTS].insight.counters())

    async def list_routes(self, request: web.Request) -> web.Response:
        asked = Parameters(request).only("search", "limit", "offset")
        search, limit, offset = (
            asked.text("search", ""),
            asked.number("limit", 100, 1, _MOST),
            asked.number("offset", 0),
        )
        return web.json_response(await request[PARTS].insight.routes(search, limit, offset))

    async def refusing_routes(self, request: web.Request) -> web.Response:
        """Those that have refused something, that with most refusals first."""
        asked = Parameters(request).only("search", "limit")
        found = request[PARTS].insight.refusing_routes(asked.text("search", ""), asked.number("limit", 20, 1, _MOST))
        return web.json_response(await found)

    async def upstreams(self, request: web.Request) -> web.Response:
        Parameters(request).only()
        return web.json_response(await request[PARTS].insight.upstreams())

    async def keys(self, request: web.Request) -> web.Response:
        Parameters(request).only()
        return web.json_response(await request[PARTS].insight.keys())

    async def decisions(self, request: web.Request) -> web.Response:
        """Those that ended last come first."""
        asked = Parameters(request).only(
            "request_id", "subject", "route", "reason", "client", "outcome", "since", "limit"
        )
        wanted = Wanted(
            asked.optional("request_id"),
            asked.optional("subject"),
            asked.optional("route"),
            asked.optional("reason"),
            asked.optional("client"),
            asked.choice("outcome", _OUTCOMES),
            asked.seconds("since", 0.0),
        )
        return web.json_response(await request[PARTS].insight.decisions(wanted, asked.number("limit", 100, 1, _MOST)))

    async def decision(self, request: web.Request) -> web.Response:
        """One decision, what its reason means, and the route as it is now."""
        Parameters(request).only()
        found = await request[PARTS].insight.decision(request.match_info["request_id"])
        if found is None:
            raise NoRoute("no such decision is kept")
        return web.json_response(found)

    async def explain(self, request: web.Request) -> web.Response:
        """What would become of a request. Its token is neither stored nor logged, and nothing is counted."""
        Parameters(request).only()
        question = read_question(await body_of(request), int(request[PARTS].admission.clock()))
        return web.json_response(await request[PARTS].insight.explain(question))

    async def configuration(self, request: web.Request) -> web.Response:
        Parameters(request).only()
        return web.json_response(await request[PARTS].insight.configuration())

    async def reload(self, request: web.Request) -> web.Response:
        """Have the configuration and its files read again. What became of it is at `/config`, a moment later."""
        Parameters(request).only()
        await self._auditor.done(request, "reload", request[PARTS].insight.reload())
        return web.json_response({"asked": True}, status=202)
