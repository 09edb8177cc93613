"""The one function that decides: `Gatekeeper.decide`.

It knows no web server, writes no log, counts no metric and moves no bytes. Every way in calls it and acts on the value it returns.
A request whose token is known is decided without I/O; what is remembered of a token never skips its expiry or the route's own checks.
"""

from gateway.engine.cors import is_preflight
from gateway.engine.headers import refuse_misused_connection
from gateway.engine.paths import Target, read_host, read_target
from gateway.engine.routes import Route, RouteTable
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
    UnknownIssuer,
)
from gateway.model.principal import HeaderBlock, Principal
from gateway.model.request import InboundRequest

Decision = Allow[Route] | Deny[Route] | Answer[Route] | Pending


class Gatekeeper:
    """Judges requests against one set of routes."""

    def __init__(
        self, routes: RouteTable, clock: Clock, *, token_bytes: int, identity_bytes: int, principal_type_header: str
    ) -> None:
        self._routes = routes
        self._clock = clock
        self._token_bytes = token_bytes
        self._identity_bytes = identity_bytes
        self._principal_type_header = principal_type_header

    def decide(self, request: InboundRequest) -> Decision:
        """Return what shall become of a request. Never raises a refusal."""
        route = None
        try:
            host, target = self.locate(request)
            route = self._match(request, host, target)
            return self._judge(request, route, target)
        except Refusal as refusal:
            return Deny(route, refusal)

    def locate(self, request: InboundRequest) -> tuple[str, Target]:
        """Return the canonical host name and target. Raises InvalidRequest."""
        refuse_misused_connection(request)
        if request.method in ("CONNECT", "TRACE"):
            raise AmbiguousTarget(f"{request.method} is not served")
        host = request.one(b"host")
        if host is None and request.version != "1.0":
            raise AmbiguousHost("no Host header")
        target = read_target(request.target, host)
        return ("" if host is None else read_host(host).name), target

    def _match(self, request: InboundRequest, host: str, target: Target) -> Route:
        if is_preflight(request):
            wanted = (request.one(b"access-control-request-method") or b"").decode("latin-1")
            route = self._routes.find(host, wanted, target.path)
            if route is not None and route.cors is not None:
                return route
        if (route := self._routes.find(host, request.method, target.path)) is None:
            raise NoRoute(f"no route for {request.method} {target.path} on {host!r}")
        return route

    def _judge(self, request: InboundRequest, route: Route, target: Target) -> Decision:
        if target.has_encoded_slash and not route.encoded_slashes:
            raise AmbiguousTarget("the path holds an encoded slash or backslash, which the route does not allow")
        forwarded = route.rewritten(target.path).encode() + target.query
        if route.cors is not None and is_preflight(request):
            if route.cors.answers_preflight:
                return Answer(route, 204, route.cors.preflight(request))
            return Allow(route, forwarded, None, b"")
        if route.access == "public":
            return Allow(route, forwarded, None, b"")
        token = self.find_token(request, route)
        if token is None:
            if route.access == "optional":
                return Allow(route, forwarded, None, b"")
            raise MissingCredentials("no token in " + ", ".join(type(source).__name__ for source in route.sources))
        now = self._clock()
        principal = self._authenticate(route, token, now)
        if isinstance(principal, Pending):
            return principal
        refuse_expired(principal, now)
        for policy in route.policies:
            policy.check(principal, now)
        return Allow(route, forwarded, principal, self.identity(route, principal, now))

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

    def _authenticate(self, route: Route, token: str, now: float) -> Principal | Pending:
        for authenticator in route.authenticators:
            if (principal := authenticator.recall(token)) is not None:
                return principal
        refusal: Refusal = UnknownIssuer("no authenticator of the route accepts the token's issuer")
        several = len(route.authenticators) > 1
        for authenticator in route.authenticators:
            if several and not authenticator.accepts(token):
                continue
            try:
                return authenticator.authenticate(token, now)
            except InvalidToken as error:
                refusal = error
        raise refusal

    def identity(self, route: Route, principal: Principal, now: float) -> bytes:
        """Return the header lines that tell the upstream who is calling; made once per principal and `inject` list."""
        block = principal.identity_headers.get(route.inject_key)
        if block is None or now >= block.usable_until:
            block = self._make_block(route, principal, now)
            principal.identity_headers[route.inject_key] = block
        return block.lines

    def _make_block(self, route: Route, principal: Principal, now: float) -> HeaderBlock:
        edits = [mutator.edit(principal, now) for mutator in route.mutators]
        headers = [header for edit in edits for header in edit.headers]
        if route.mutators:
            headers.append((self._principal_type_header, principal.type))
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers).encode("ascii")
        if len(lines) > self._identity_bytes:
            raise OversizedIdentity(f"the injected headers take {len(lines)} bytes; {self._identity_bytes} are allowed")
        return HeaderBlock(lines, min((edit.usable_until for edit in edits), default=float("inf")))


def refuse_expired(principal: Principal, now: float) -> None:
    """Raise ExpiredToken once the token has run out, leeway included (RFC 7519 §4.1.4)."""
    if now >= principal.usable_until:
        raise ExpiredToken(f"exp {principal.expires_at}; usable until {principal.usable_until:.0f}; now {now:.0f}")
