"""Answers a question by the rules in force, without leaving a trace of it."""

from gateway.config.snapshot import Snapshot
from gateway.engine.gatekeeper import Verdict
from gateway.engine.question import Question
from gateway.insight.explaining.way import Explanation, Notices, explain
from gateway.model.decision import Deny
from gateway.model.errors import Refusal
from gateway.model.request import InboundRequest
from gateway.proxy.heads import request_framing


async def answered(snapshot: Snapshot, question: Question, notices: Notices = ()) -> Explanation:
    """Return what would become of a request, and why. Keys are fetched if need be; `notices` tells of that."""
    keeper = snapshot.gatekeeper.onlooker(lambda: question.at)
    peer = snapshot.forwarding.peer(question.peer)
    request = InboundRequest(question.method, question.target, question.headers, peer, secure=question.secure)
    verdict: Verdict
    try:
        request_framing(request)
    except Refusal as refusal:  # whoever reads requests refuses it, before anybody decides
        verdict = Deny(None, refusal)
    else:
        verdict = await keeper.settle(request, keeper.decide(request))
    return explain(snapshot, request, verdict, question.at, notices, keeper)
