"""Asks a gateway about itself: one process, or all its workers, whose answers are put together."""

import asyncio
import json
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field
from inspect import isawaitable
from typing import Any

from gateway.config.mistakes import SettingPath
from gateway.config.snapshot import Snapshot
from gateway.engine.question import Question
from gateway.insight.configuration import shown_config
from gateway.insight.counting import counters, counters_together, last_reload
from gateway.insight.explaining.asking import answered
from gateway.insight.explaining.text import as_json
from gateway.insight.reaching import upstreams, upstreams_together
from gateway.insight.reasons import described
from gateway.insight.routing import refusing_routes, refusing_routes_together, route, routes, routes_together
from gateway.insight.trusting import keys, keys_together
from gateway.model.told import Gather, Told
from gateway.proxy.plane import DataPlane
from gateway.telemetry.decisions import DecisionRing, Wanted
from gateway.telemetry.metrics import Metrics

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reload:
    """What the latest attempt to load the configuration came to. `mistakes` say why it failed."""

    file: str | None
    mistakes: tuple[str, ...] = ()


@dataclass(slots=True)
class Insight:
    """What one process can say, and what it gathers. Without `gather` it is the only one."""

    plane: DataPlane
    metrics: Metrics
    ring: DecisionRing
    from_environment: Callable[[], Collection[SettingPath]]
    reload_state: Callable[[], Reload]
    reload_soon: Callable[[], None]
    gather: Gather | None = None
    _topics: dict[str, Callable[..., Any]] = field(init=False)

    def __post_init__(self) -> None:
        self._topics = {
            "counters": lambda: counters(self.metrics, self.plane.clock()),
            "routes": lambda search, limit, offset: routes(self._snapshot, search, limit, offset),
            "refusing": lambda search, most: refusing_routes(self._snapshot, search, most),
            "route": lambda route_id: route(self._snapshot, route_id),
            "upstreams": lambda: upstreams(self.plane.pools.values()),
            "keys": lambda: keys(self._snapshot, self.plane.clock()),
            "decisions": lambda wanted, most: self.ring.found(Wanted(**wanted), most),
            "reload": self._reload,
        }

    @property
    def _snapshot(self) -> Snapshot:
        return self.plane.snapshot

    async def answer(self, question: bytes) -> Any:
        """Return what this process says to a question of another worker."""
        topic, arguments = json.loads(question)
        return await self._say(topic, arguments)

    async def counters(self) -> Json:
        told = await self._ask("counters")
        return {**counters_together(told.answers), "answered": len(told.answers), "workers": told.workers or None}

    async def routes(self, search: str, limit: int, offset: int) -> Json:
        return routes_together((await self._ask("routes", search=search, limit=limit, offset=offset)).answers)

    async def refusing_routes(self, search: str, most: int) -> Json:
        """Return those routes that have refused something, that with most refusals first."""
        told = await self._ask("refusing", search=search, most=most)
        return refusing_routes_together(told.answers, most)

    async def upstreams(self) -> Json:
        return upstreams_together((await self._ask("upstreams")).answers)

    async def keys(self) -> Json:
        return keys_together((await self._ask("keys")).answers)

    async def decisions(self, wanted: Wanted, most: int) -> Json:
        """Return those that fit, of all processes together the latest."""
        told = await self._ask("decisions", wanted=asdict(wanted), most=most)
        found = [decision for answer in told.answers for decision in answer]
        found.sort(key=_ended, reverse=True)
        return {"kept": self.ring.keep, "decisions": found[:most]}

    async def decision(self, request_id: str) -> Json | None:
        """Return one decision, and all there is to say about it; None if it is not kept, or not any more."""
        found = (await self.decisions(Wanted(request_id=request_id), 1))["decisions"]
        if not found:
            return None
        [decision] = found
        told = await self._ask("route", route_id=decision["route"])
        rows = [row for row in told.answers if row is not None]
        return {
            "decision": decision,
            **described(decision["reason"])._asdict(),
            "route": routes_together([{"routes": [row]} for row in rows])["routes"][0] if rows else None,
        }

    async def explain(self, question: Question) -> Json:
        explanation = await answered(self._snapshot, question)
        return as_json(explanation, question.without_secrets)

    async def configuration(self) -> Json:
        config, state = self._snapshot.config, self.reload_state()
        shown = await asyncio.to_thread(shown_config, config, self.from_environment())
        reload = {**last_reload(self.metrics), "mistakes": list(state.mistakes)}
        return {"config": shown, "file": state.file, "reload": reload}

    async def reload(self) -> None:
        """Have every process read the configuration again."""
        await self._ask("reload")

    def _reload(self) -> bool:
        self.reload_soon()
        return True

    async def _ask(self, topic: str, **arguments: Any) -> Told:
        told = Told([], {}) if self.gather is None else await self.gather(json.dumps([topic, arguments]).encode())
        return told if told.answers else Told([await self._say(topic, arguments)], told.workers)

    async def _say(self, topic: str, arguments: Json) -> Any:
        said = self._topics[topic](**arguments)
        return await said if isawaitable(said) else said


def _ended(decision: Json) -> float:
    ended: float = decision["ended"]
    return ended
