"""Why a request is allowed or refused: the way of `Gatekeeper.decide`, gone again with the same step functions.

The verdict is the decision itself. The steps only show how it came about; where the two do not agree, that is a bug,
and `disagreements` says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from gateway.config.snapshot import Snapshot
from gateway.engine.cors import is_preflight
from gateway.engine.gatekeeper import (
    UNDECIDED,
    Gatekeeper,
    Verdict,
    asked_authenticators,
    refuse_anonymous,
    refuse_encoded_slash,
    refuse_expired,
)
from gateway.engine.paths import Target
from gateway.engine.revoked import refuse_revoked
from gateway.engine.routes import Route
from gateway.insight.explaining.forwarded import NEW_REQUEST_ID, Forwarded, forwarded
from gateway.insight.explaining.near import near_routes
from gateway.insight.explaining.rates import shown_limits
from gateway.insight.explaining.steps import Step, Steps, in_words
from gateway.insight.explaining.token import TokenSteps
from gateway.insight.explaining.words import (
    shown_claim,
    shown_find,
    shown_notice,
    shown_principal,
    shown_route,
    shown_target,
    why_unreadable,
)
from gateway.mechanisms.authorization import AuthorizationHeader
from gateway.model.decision import Allow, Deny, Pending
from gateway.model.errors import NoRoute, Refusal, Unavailable
from gateway.model.faces import Face, face
from gateway.model.moments import moment
from gateway.model.principal import Principal, claim_at
from gateway.model.request import InboundRequest
from gateway.proxy.heads import request_framing
from gateway.tokens.jose import peek_issuer
from gateway.tokens.refresh_token import looks_like_refresh_token

Notices = Sequence[tuple[str, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Explanation:
    """A verdict, how it came about, what the client sees of a refusal and what the upstream gets of a good request."""

    verdict: Verdict
    steps: tuple[Step, ...]
    face: Face | None
    forwarded: Forwarded | None
    disagreements: tuple[str, ...]


def explain(
    snapshot: Snapshot,
    request: InboundRequest,
    verdict: Verdict,
    now: float,
    notices: Notices,
    keeper: Gatekeeper | None = None,
) -> Explanation:
    """Return how a decision came about. `now` is the time at which it was made, `notices` what was fetched for it.

    `keeper` is who made it, if it was not the Snapshot's own.
    """
    way = _Way(snapshot, keeper or snapshot.gatekeeper, request, now, notices)
    way.go()
    way.compare("the steps come to", way.refusal, "the verdict", verdict.error if isinstance(verdict, Deny) else None)
    request_id = snapshot.forwarding.request_id(request, NEW_REQUEST_ID)
    return Explanation(
        verdict,
        tuple(way.steps),
        face(verdict.error, snapshot.challenge, request_id) if isinstance(verdict, Deny) else None,
        forwarded(snapshot, request, verdict) if isinstance(verdict, Allow) else None,
        tuple(way.disagreements),
    )


class _Way:
    """The way of one request. `refusal` is where it ends, None where it reaches the upstream."""

    def __init__(
        self, snapshot: Snapshot, keeper: Gatekeeper, request: InboundRequest, now: float, notices: Notices
    ) -> None:
        self.steps = Steps()
        self.refusal: Refusal | None = None
        self.disagreements: list[str] = []
        self._snapshot = snapshot
        self._keeper = keeper
        self._request = request
        self._now = now
        self._notices = notices

    def go(self) -> None:
        """Take every step that `decide` takes."""
        try:
            self._go()
        except Refusal as refusal:
            self.refusal = refusal

    def compare(self, what: str, found: Refusal | None, other: str, expected: Refusal | None) -> None:
        """Remember it when two ways to the same answer do not end at the same place."""
        first, second = _outcome(found), _outcome(expected)
        if first != second:
            self.disagreements.append(f"{what} {first}, {other} is {second}")

    def _go(self) -> None:
        self._describe()
        self._refuse_body()
        host, target = self.steps.attempt(
            "target", "canonical form", lambda: self._keeper.locate(self._request), shown_target
        )
        route = self._route(host, target)
        if route.cors is not None and is_preflight(self._request):
            self._preflight(route)
            return
        for by, words in shown_limits(route, self._snapshot.forwarding.client_address(self._request)):
            self.steps.note("rate_limits", by, words)
        if route.access == "public":
            self.steps.note("token", "not looked at", "the route is public")
        else:
            self._caller(route)

    def _describe(self) -> None:
        """Note what is asked. The query stays out, as it may hold secrets."""
        request, peer = self._request, self._request.peer
        path, mark, _ = request.target.partition(b"?")
        self.steps.note("request", request.method, path.decode("utf-8", "replace") + ("?..." if mark else ""))
        trust = "a trusted proxy" if peer.is_trusted_proxy else "not a trusted proxy"
        client = self._snapshot.forwarding.client_address(request)
        self.steps.note("request", "from", f"{peer.address}, {trust}; the client is {client}")
        self.steps.note("request", "at", f"{self._now:.0f}, {moment(self._now)}")

    def _refuse_body(self) -> None:
        """Say only of a body whose end nobody could find that it is refused."""
        try:
            request_framing(self._request)
        except Refusal as refusal:
            self.steps.append(Step("request", "body", "no", in_words(refusal)))
            raise

    def _route(self, host: str, target: Target) -> Route:
        keeper, request = self._keeper, self._request
        try:
            route = self.steps.attempt("route", "match", lambda: keeper.match(request, host, target), shown_route)
        except NoRoute:
            for words in near_routes(self._snapshot.routes, host, request.method, target.path):
                self.steps.note("route", "near", words)
            raise
        if target.has_encoded_slash:
            self.steps.attempt(
                "route", "encoded slash", lambda: refuse_encoded_slash(route, target), lambda _: "allowed by the route"
            )
        return route

    def _preflight(self, route: Route) -> None:
        assert route.cors is not None
        cors = route.cors
        who = "gateway" if cors.answers_preflight else "upstream"
        self.steps.attempt(
            "preflight", "origin", lambda: cors.preflight(self._request), lambda _: f"allowed; the {who} answers"
        )

    def _caller(self, route: Route) -> None:
        token = self._token(route)
        if token is None:
            self.steps.attempt(
                "token", "required", lambda: refuse_anonymous(route), lambda _: "no: the route takes anonymous callers"
            )
            return
        self._issuing(route, token)
        principal = self._principal(route, token)
        self._revocation(route, principal)
        self._requirements(route, principal)
        self.steps.attempt(
            "upstream",
            "identity headers",
            lambda: self._keeper.identity(route, principal, self._now),
            lambda lines: f"{len(lines)} bytes",
        )

    def _revocation(self, route: Route, principal: Principal) -> None:
        view = self._keeper.revocations
        if view is not None:
            self.steps.attempt(
                "caller",
                "revocation",
                lambda: refuse_revoked(view, route, principal, self._request),
                lambda is_degraded: (
                    f"none is known; the news is {view.staleness():.1f} s old"
                    + (", too old, and the route lets it pass" if is_degraded else "")
                ),
            )
        elif self._snapshot.config.state is not None:
            self.steps.note("caller", "revocation", "not looked at: nothing is asked of the store here")

    def _token(self, route: Route) -> str | None:
        for source in route.sources:
            self.steps.note("token", source.place, shown_find(source, self._request))
        token = self.steps.attempt(
            "token",
            "exactly one",
            lambda: self._keeper.find_token(self._request, route),
            lambda found: "none at all" if found is None else f"{len(found)} bytes",
        )
        looks_there = any(isinstance(source, AuthorizationHeader) for source in route.sources)
        if token is None and not looks_there and self._request.all(b"authorization"):
            self.steps.note("token", "Authorization", "was sent, but this route does not look there (token_from)")
        return token

    def _issuing(self, route: Route, token: str) -> None:
        """Note what a running gateway would ask the sessions for; here nothing is exchanged or renewed."""
        if looks_like_refresh_token(token):
            does = "would be exchanged for a new pair" if route.refresh_inline else "no refresh_inline on this route"
            self.steps.note("token", "a refresh token", f"{does}; here it counts as a bad token")
        elif route.renew_below:
            self.steps.note(
                "token", "renewal", f"with less than {route.renew_below:.0%} of its life left; not done here"
            )

    def _principal(self, route: Route, token: str) -> Principal:
        asked, issuer = asked_authenticators(route, token), peek_issuer(token)
        for authenticator in route.authenticators:
            is_asked = "asked" if authenticator in asked else "not asked"
            takes = self._snapshot.authenticators[authenticator.name].expect.issuer
            self.steps.note(
                "authenticators", authenticator.name, f"{is_asked}: takes iss {takes!r}, the token says {issuer!r}"
            )
        if not asked and (reason := why_unreadable(token)) is not None:
            self.steps.note("authenticators", "the token", reason)
        for authenticator in asked:
            self._try(authenticator.name, token)
        return self.steps.attempt("caller", "proven", lambda: self._authenticated(route, token), shown_principal)

    def _authenticated(self, route: Route, token: str) -> Principal:
        principal = self._keeper.authenticate(route, token, self._now)
        if isinstance(principal, Pending):
            raise Unavailable(UNDECIDED)
        refuse_expired(principal, self._now)
        return principal

    def _try(self, name: str, token: str) -> None:
        """Show every check that an authenticator makes of a token, and compare them with its own answer."""
        authenticator, settings = self._snapshot.authenticators[name], self._snapshot.config.authenticators[name]
        for event, fields in self._notices:
            if fields.get("authenticator") == name:
                self.steps.note("signature", "fetch", shown_notice(event, fields), name)
        trial = TokenSteps(authenticator, settings, self._now, self.steps)
        trial.take(token)
        answer: Refusal | None = None
        try:
            if isinstance(authenticator.prove(token, self._now), Pending):
                answer = Unavailable(UNDECIDED)
        except Refusal as refusal:
            answer = refusal
        self.compare(f"the checks by {name} come to", next(iter(trial.failures), None), "its answer", answer)

    def _requirements(self, route: Route, principal: Principal) -> None:
        """Check them all, and raise the first refusal."""
        first = None
        for path in dict.fromkeys(path for policy in route.policies for path in policy.claims):
            self.steps.note("require", ".".join(path), shown_claim(claim_at(principal.claims, path)))
        for policy in route.policies:
            check = partial(policy.check, principal, self._now)
            try:
                self.steps.attempt("require", policy.words, check, lambda _: "holds")
            except Refusal as refusal:
                first = first or refusal
        if first is not None:
            raise first


def _outcome(refusal: Refusal | None) -> str:
    return "allow" if refusal is None else in_words(refusal)
