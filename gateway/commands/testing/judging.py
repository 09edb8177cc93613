"""What the gateway would do with the request of a case: asked of the gatekeeper itself."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from gateway.commands.testing.asking import inbound, presented
from gateway.commands.testing.cases import Case, Cases, Decision, Request
from gateway.commands.testing.standing_in import StandIn
from gateway.config.compile import compile_config
from gateway.config.snapshot import Snapshot
from gateway.engine.gatekeeper import Verdict
from gateway.engine.routes import Route
from gateway.insight.explaining.forwarded import NEW_REQUEST_ID
from gateway.insight.explaining.steps import Step
from gateway.insight.explaining.way import explain
from gateway.mechanisms.base import offline_resources
from gateway.model.decision import Allow, Answer, Deny
from gateway.model.errors import Refusal
from gateway.model.request import InboundRequest
from gateway.proxy.heads import granted_upgrade, request_framing, request_head
from gateway.state.revocations import RevocationView


@dataclass(frozen=True, slots=True)
class Sent:
    """What an upstream gets: its name, the path with its query, the headers in order."""

    upstream: str
    path: str
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request. `status` is None for one that goes on to an upstream, which is in `sent` then.

    `why` are the steps of an explanation that end in a refusal, or say what comes near.
    """

    decision: Decision
    route: str | None
    status: int | None = None
    refusal: Refusal | None = None
    sent: Sent | None = None
    why: tuple[Step, ...] = ()


@dataclass(slots=True)
class Judge:
    """Decides as a gateway with this configuration would, at times that cases set. Nothing is counted or fetched."""

    standing: StandIn
    directory: Path
    snapshot: Snapshot = field(init=False)
    _now: float = field(init=False, default=0)

    def __post_init__(self) -> None:
        """Raises CompileMistakes."""
        resources = offline_resources(self.directory)
        resources.clock = lambda: self._now
        self.snapshot = compile_config(self.standing.config, resources)

    def outcome(self, cases: Cases, case: Case, asked: Request, caller: str | None) -> Outcome:
        """Return what becomes of one request of a case, sent by one of its callers."""
        self._now = now = cases.at if case.at is None else case.at
        config, peer = self.standing.config, self.snapshot.forwarding.peer(asked.client or cases.defaults.client)
        shown = None
        view = RevocationView(monotonic=lambda: 0.0, clock=lambda: now)
        view.refreshed(int(now * 1000), -case.news_age)
        if caller is not None:
            shown = presented(caller, cases.callers[caller], config, self.standing.signers, now)
            view.add([shown.revocation] if cases.callers[caller].revoked else [])
        self.snapshot.gatekeeper.revocations = None if config.state is None else view
        request = inbound(asked, cases.defaults, peer, shown)
        return self._told(request, asyncio.run(self._verdict(request)), now)

    async def _verdict(self, request: InboundRequest) -> Verdict:
        keeper = self.snapshot.gatekeeper
        return await keeper.settle(request, keeper.decide(request))

    def _told(self, request: InboundRequest, verdict: Verdict, now: float) -> Outcome:
        match verdict:
            case Allow():
                return self._sent_on(request, verdict)
            case Answer():
                return Outcome("answer", verdict.route.id, verdict.status)
            case Deny():
                route = None if verdict.route is None else verdict.route.id
                steps = explain(self.snapshot, request, verdict, now, ()).steps
                why = tuple(step for step in steps if step.result == "no" or step.name == "near")
                return Outcome("refuse", route, verdict.error.status, verdict.error, why=why)

    def _sent_on(self, request: InboundRequest, allow: Allow[Route]) -> Outcome:
        try:
            return Outcome("allow", allow.route.id, sent=self._sent(request, allow))
        except Refusal as refusal:  # of a body whose end cannot be told
            return Outcome("refuse", allow.route.id, refusal.status, refusal)

    def _sent(self, request: InboundRequest, allow: Allow[Route]) -> Sent:
        """Return the very head that a running gateway would write to the first of the upstream's targets."""
        snapshot, spec = self.snapshot, self.snapshot.upstreams[allow.route.upstream]
        framing, _ = request_framing(request)
        upgrade = granted_upgrade(request, framing, allow.route)
        authority = spec.targets[0].authority.encode()
        request_id = snapshot.forwarding.request_id(request, NEW_REQUEST_ID)
        head = request_head(request, framing, upgrade, allow, snapshot, spec, authority, request_id)
        first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        headers = tuple((name, value) for name, _, value in (line.partition(": ") for line in lines))
        return Sent(spec.name, first.split(" ")[1], headers)
