"""The one function that decides: `Gatekeeper.decide`.

It knows no web server, writes no log, counts no metric and moves no bytes. Every way in calls it and acts on the value
it returns. A request whose token is known is decided without I/O; what is remembered of a token never skips its
expiry, its revocation or the route's own checks.
"""

from collections.abc import Callable, Iterable
from math import inf
from typing import Final

from gateway.engine.cors import is_preflight
from gateway.engine.headers import refuse_misused_connection
from gateway.engine.inline_tokens import InlineTokens
from gateway.engine.paths import Target, read_target
from gateway.engine.rate_limits import RateLimits
from gateway.engine.revoked import refuse_revoked
from gateway.engine.routes import Route, RouteTable
from gateway.mechanisms.base import Authenticator
from gateway.model.clock import Clock
from gateway.model.decision import Allow, Answer, Deny, Pending
from gateway.model.errors import (
    AmbiguousHost,
    AmbiguousTarget,
    ExpiredToken,
    InvalidToken,
    MissingCredentials,
    NoRoute,
    OversizedIdentity,
    OversizedToken,
    Refusal,
    SeveralCredentials,
    Unavailable,
    UnknownIssuer,
)
from gateway.model.host import Host
from gateway.model.memo import Memo
from gateway.model.principal import HeaderBlock, Principal
from gateway.model.request import InboundRequest
from gateway.state.revocations import RevocationView

Verdict = Allow[Route] | Deny[Route] | Answer[Route]
Decision = Verdict | Pending

_NEVER_SERVED: Final = frozenset({"CONNECT", "TRACE"})
_ROUNDS: Final = 3
"""How often a request may wait for something to be fetched."""
UNDECIDED: Final = "still undecided after several fetches"


class Gatekeeper:
    """Judges requests against one set of routes.

    Without `revocations` there is no state, and nothing is revoked; without `inline` no tokens are made on the way;
    without `limits` no requests are counted.
    """

    def __init__(
        self,
        routes: RouteTable,
        clock: Clock,
        *,
        token_bytes: int,
        identity_bytes: int,
        principal_type_header: str,
        degraded_header: str = "X-Auth-Degraded",
        revocations: RevocationView | None = None,
        inline: InlineTokens | None = None,
        limits: RateLimits | None = None,
    ) -> None:
        self._routes = routes
        self._clock = clock
        self._token_bytes = token_bytes
        self._identity_bytes = identity_bytes
        self._principal_type_header = principal_type_header
        self._degraded_header = degraded_header
        self._degraded_line = f"{degraded_header}: 1\r\n".encode("ascii")
        self.revocations = revocations
        self._inline_tokens = inline
        self._limits = limits
        self._hosts: Memo[Host] = Memo()

    def decide(self, request: InboundRequest) -> Decision:
        """Return what shall become of a request. Never raises a refusal."""
        route = None
        try:
            host, target = self.locate(request)
            route = self.match(request, host, target)
            return self._judge(request, route, target)
        except Refusal as refusal:
            return Deny(route, refusal)

    async def settle(self, request: InboundRequest, decision: Decision) -> Verdict:
        """Return what becomes of a request in the end: ask again each time that something was fetched, not forever."""
        for _ in range(_ROUNDS):
            if not isinstance(decision, Pending):
                return decision
            await decision.ready()
            decision = self.decide(request)
        if isinstance(decision, Pending):
            return Deny(None, Unavailable(UNDECIDED))
        return decision

    def locate(self, request: InboundRequest) -> tuple[str, Target]:
        """Return the canonical host name and target. Raises InvalidRequest."""
        if request.has(b"connection"):
            refuse_misused_connection(request)
        if request.method in _NEVER_SERVED:
            raise AmbiguousTarget(f"{request.method} is not served")
        host = self._host(request)
        if host is None and request.version != "1.0":
            raise AmbiguousHost("no Host header")
        return ("" if host is None else host.name), read_target(request.target, host)

    def _host(self, request: InboundRequest) -> Host | None:
        value = request.one(b"host")
        if value is None:
            return None
        known = self._hosts.known.get(value)
        if known is not None:
            request.remember_host(known)
        elif (known := request.host) is not None:
            self._hosts.remember(value, known)
        return known

    def match(self, request: InboundRequest, host: str, target: Target) -> Route:
        """Return the route of a request; for a CORS preflight, that of the request it asks for.

        Raises NoRoute; AmbiguousTarget if a careless server would read a path of a route that asks for more.
        """
        if request.method == "OPTIONS" and is_preflight(request):
            wanted = (request.one(b"access-control-request-method") or b"").decode("latin-1")
            route = self._routes.find(host, wanted, target.path)
            if route is not None and route.cors is not None:
                return route
        if (route := self._routes.find(host, request.method, target.path)) is None:
            raise NoRoute(f"no route for {request.method} {target.path} on {host!r}")
        if target.misreadings and (route.encoded_slashes or not target.has_encoded_slash):
            self._refuse_misreadings(request.method, host, target, route)
        return route

    def _refuse_misreadings(self, method: str, host: str, target: Target, route: Route) -> None:
        for path in target.misreadings:
            other = self._routes.find(host, method, path)
            if other is not None and other.asks_for_other_things_than(route):
                raise AmbiguousTarget(f'a server that decodes the path first would read a path of route "{other.id}"')

    def _judge(self, request: InboundRequest, route: Route, target: Target) -> Decision:
        refuse_encoded_slash(route, target)
        forwarded = route.forwarded(target)
        passes_without_token = route.access == "public"
        if route.cors is not None and request.method == "OPTIONS" and is_preflight(request):
            headers = route.cors.preflight(request)
            if route.cors.answers_preflight:
                return Answer(route, 204, headers)
            passes_without_token = True
        if route.address_limits and self._limits is not None:
            self._limits.count_address(request, route)
        if passes_without_token:
            return Allow(route, forwarded, None, b"")
        token = self.find_token(request, route)
        if token is None:
            refuse_anonymous(route)
            return Allow(route, forwarded, None, b"")
        now = self._clock()
        principal = self._caller(request, route, token, now)
        if isinstance(principal, Pending):
            return principal
        refuse_expired(principal, now)
        try:
            return self._judge_caller(request, route, forwarded, principal, now)
        except Refusal as refusal:
            return Deny(route, refusal, principal)

    def _caller(self, request: InboundRequest, route: Route, token: str, now: float) -> Principal | Pending:
        """Return whom the request's token proves; of a refresh token that the route takes, the new access token."""
        if route.refresh_inline and self._inline_tokens is not None and self._inline_tokens.takes(request, token):
            exchanged = self._inline_tokens.exchange(request, token)
            return exchanged if isinstance(exchanged, Pending) else self._authenticate_new(route, exchanged, now)
        return self.authenticate(route, token, now)

    def _judge_caller(
        self, request: InboundRequest, route: Route, forwarded: bytes, principal: Principal, now: float
    ) -> Decision:
        view = self.revocations
        is_degraded = view is not None and refuse_revoked(view, route, principal, request)
        for policy in route.policies:
            policy.check(principal, now)
        if route.caller_limits and self._limits is not None:
            self._limits.count_caller(request, route, principal)
        if route.renew_below and self._inline_tokens is not None:
            pending = self._inline_tokens.renewal(route, request, principal, now)
            if pending is not None:
                return pending
        identity = self.identity(route, principal, now)
        if is_degraded:
            return Allow(route, forwarded, principal, identity + self._degraded_line, is_degraded=True)
        return Allow(route, forwarded, principal, identity)

    def onlooker(self, clock: Clock) -> "Onlooker":
        """Return one that judges the same by another clock, for people who ask what would happen."""
        return Onlooker(
            self._routes,
            clock,
            token_bytes=self._token_bytes,
            identity_bytes=self._identity_bytes,
            principal_type_header=self._principal_type_header,
            degraded_header=self._degraded_header,
            revocations=self.revocations,
        )

    def still_allowed(self, route: Route, principal: Principal, request: InboundRequest) -> Refusal | None:
        """Return why a request that was let through may go on no longer, None if it may. Expiry is not looked at."""
        if self.revocations is None:
            return None
        try:
            refuse_revoked(self.revocations, route, principal, request)
        except Refusal as refusal:
            return refusal
        return None

    def would_refuse(
        self, request: InboundRequest, came_at: float, *, upgrade: bytes | None = None
    ) -> Refusal | Pending | None:
        """Return why these rules would have refused a request that others let through when it came (Unix seconds).
        `upgrade` is the protocol that its connection has switched to.

        None if they would not, or nobody can know. Revocations and rates are not looked at, and nothing is counted.
        """
        try:
            host, target = self.locate(request)
            route = self.match(request, host, target)
            refuse_encoded_slash(route, target)
            if upgrade is not None and upgrade not in route.upgrades:
                raise NoRoute(f'route "{route.id}" lets nobody upgrade to {upgrade.decode("latin-1")}')
            caller = self._caller_then(request, route, came_at)
            if caller is None or isinstance(caller, Pending):
                return caller
            for policy in route.policies:
                policy.check(caller, came_at)
        except Unavailable:
            return None
        except Refusal as refusal:
            return refusal
        return None

    def _caller_then(self, request: InboundRequest, route: Route, came_at: float) -> Principal | Pending | None:
        """Return whom a request's token proved when it came; None where no token counts. Raises a refusal."""
        if route.access == "public":
            return None
        token = self.find_token(request, route)
        if token is None:
            refuse_anonymous(route)
            return None
        if route.refresh_inline and self._inline_tokens is not None and self._inline_tokens.takes(request, token):
            if request.issued is None:
                return None
            token = request.issued.access_token
        return self.authenticate(route, token, came_at)

    def find_token(self, request: InboundRequest, route: Route) -> str | None:
        """Return the one token of a request, or None. Raises InvalidCredentials."""
        token = None
        for source in route.sources:
            found = source.find(request)
            if found is None:
                continue
            if token is not None:
                raise SeveralCredentials("the request carries a token in more than one place")
            token = found
            if route.allow_several_credentials:
                break
        if token is not None and len(token) > self._token_bytes:
            raise OversizedToken(f"the token has {len(token)} bytes; {self._token_bytes} are allowed")
        return token

    def authenticate(self, route: Route, token: str, now: float) -> Principal | Pending:
        """Return whom the token proves to one of the route's authenticators. Raises InvalidToken or Unavailable.

        What was verified before is only remembered: the caller checks expiry. While one of several authenticators
        cannot know, the no of the others is not the answer.
        """
        for authenticator in route.authenticators:
            if (principal := authenticator.recall(token)) is not None:
                return principal
        return _first_proof([each.authenticate for each in asked_authenticators(route, token)], token, now)

    def _authenticate_new(self, route: Route, token: str, now: float) -> Principal | Pending:
        """Do the same for an access token that was just made.

        Its client has not got it yet: taken for seen, it would end the time in which a lost answer can be repeated.
        """
        return _first_proof([each.prove for each in asked_authenticators(route, token)], token, now)

    def identity(self, route: Route, principal: Principal, now: float) -> bytes:
        """Return the header lines that tell the upstream who is calling; made once per principal and `inject` list."""
        block = principal.identity_headers.get(route.inject_key)
        if block is None or now >= block.usable_until:
            block = self._make_block(route, principal, now)
            principal.identity_headers[route.inject_key] = block
        return block.lines

    def _make_block(self, route: Route, principal: Principal, now: float) -> HeaderBlock:
        parts: list[str] = []
        usable_until = inf
        for mutator in route.mutators:
            headers, good_until = mutator.edit(principal, now)
            usable_until = min(usable_until, good_until)
            for name, value in headers:
                parts += (name, ": ", value, "\r\n")
        if route.mutators:
            parts += (self._principal_type_header, ": ", principal.type, "\r\n")
        lines = "".join(parts).encode("ascii")
        if len(lines) > self._identity_bytes:
            raise OversizedIdentity(f"the injected headers take {len(lines)} bytes; {self._identity_bytes} are allowed")
        return HeaderBlock(lines, usable_until)


class Onlooker(Gatekeeper):
    """Judges as a gatekeeper does, and leaves no trace: nothing is counted, exchanged, renewed or remembered."""

    def authenticate(self, route: Route, token: str, now: float) -> Principal | Pending:
        return self._authenticate_new(route, token, now)


def _first_proof(
    proofs: Iterable[Callable[[str, float], Principal | Pending]], token: str, now: float
) -> Principal | Pending:
    refusal: Refusal = UnknownIssuer("no authenticator of the route accepts the token's issuer")
    for proof in proofs:
        try:
            return proof(token, now)
        except Unavailable as error:
            refusal = error
        except InvalidToken as error:
            refusal = refusal if isinstance(refusal, Unavailable) else error
    raise refusal


def refuse_encoded_slash(route: Route, target: Target) -> None:
    """Raise AmbiguousTarget for `%2F` or `%5C` in the path, unless the route allows it."""
    if target.has_encoded_slash and not route.encoded_slashes:
        raise AmbiguousTarget("the path holds an encoded slash or backslash, which the route does not allow")


def refuse_anonymous(route: Route) -> None:
    """Raise MissingCredentials, unless the route takes callers without a token."""
    if route.access != "optional":
        raise MissingCredentials("no token in " + ", ".join(source.place for source in route.sources))


def asked_authenticators(route: Route, token: str) -> tuple[Authenticator, ...]:
    """Return who shall verify a token: those that take its issuer; an only one in any case, for its exact reason."""
    if len(route.authenticators) == 1:
        return route.authenticators
    return tuple(authenticator for authenticator in route.authenticators if authenticator.accepts(token))


def refuse_expired(principal: Principal, now: float) -> None:
    """Raise ExpiredToken once the token has run out, leeway included (RFC 7519 §4.1.4)."""
    if now >= principal.usable_until:
        raise ExpiredToken(f"exp {principal.expires_at}; usable until {principal.usable_until:.0f}; now {now:.0f}")
