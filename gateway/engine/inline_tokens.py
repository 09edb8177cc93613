"""New tokens beside the answer to an ordinary request, on routes that opt in.

Two ways. An access token that nears its end is renewed: same session, same generation. A refresh token that came in
`Authorization` in place of an access token is exchanged, once per request, and the request goes on with the new access
token. What was made is put on the request, since the answer must carry it, whatever it is.
"""

from functools import partial
from time import monotonic
from typing import NamedTuple

from gateway.engine.forwarding import Forwarding
from gateway.engine.routes import Route
from gateway.engine.sessions import Exchange, SessionService
from gateway.engine.token_cookies import AccessCookie
from gateway.mechanisms.authorization import AuthorizationHeader
from gateway.model.decision import Pending
from gateway.model.errors import InvalidGrant, Refusal, RefusedRefreshToken, Unavailable
from gateway.model.principal import Principal
from gateway.model.request import InboundRequest
from gateway.model.session import Issued
from gateway.tokens.refresh_token import looks_like_refresh_token

_REMEMBERED = 5.0
"""Seconds for which the store is not asked again about the same generation: also while it does not answer."""
_MOST = 4096
_AUTHORIZATION = AuthorizationHeader()


class _Recent(NamedTuple):
    issued: Issued | None
    until: float


class InlineTokens:
    """Asks the sessions for new tokens, in the name of a request."""

    def __init__(self, sessions: SessionService, forwarding: Forwarding, cookie: AccessCookie | None = None) -> None:
        """`cookie` is our own: where an access token came in it, so does the new one."""
        self._sessions = sessions
        self._forwarding = forwarding
        self._cookie = cookie
        self._recent: dict[tuple[str, int], _Recent] = {}

    # --- a refresh token in place of an access token

    def takes(self, request: InboundRequest, token: str) -> bool:
        """Say whether a request's token is one to exchange: never one from a cookie, which other sites could send."""
        return looks_like_refresh_token(token) and _AUTHORIZATION.find(request) == token

    def exchange(self, request: InboundRequest, token: str) -> str | Pending:
        """Return the new access token; Pending before it is there. Raises RefusedRefreshToken or Unavailable."""
        if request.exchange_refusal is not None:
            raise request.exchange_refusal
        if request.issued is not None:
            return request.issued.access_token
        return Pending(partial(self._exchange, request, token))

    async def _exchange(self, request: InboundRequest, token: str) -> None:
        if request.issued is not None or request.exchange_refusal is not None:
            return
        address = self._forwarding.client_address(request)
        try:
            request.issued = await self._sessions.exchange(Exchange(token, client_id=None, address=address))
        except InvalidGrant as error:
            request.exchange_refusal = RefusedRefreshToken(f"{error.reason}: {error}")
        except Refusal as refusal:
            request.exchange_refusal = refusal

    # --- an access token that nears its end

    def renewal(self, route: Route, request: InboundRequest, principal: Principal, now: float) -> Pending | None:
        """Return what to wait for while a caller's access token is renewed; None if there is nothing to do.

        Served without, if the sessions cannot be asked: the token is still good.
        """
        sid, number, issued_at = principal.session_id, principal.generation, principal.issued_at
        if request.is_renewal_tried or request.issued is not None or sid is None or number is None or issued_at is None:
            return None
        if principal.expires_at - now > route.renew_below * (principal.expires_at - issued_at):
            return None
        request.is_renewal_tried = True
        generation = sid, number
        recent = self._recent.get(generation)
        if recent is not None and monotonic() < recent.until:
            self._give(route, request, recent.issued, now)
            return None
        return Pending(partial(self._renew, route, request, generation, now))

    async def _renew(self, route: Route, request: InboundRequest, generation: tuple[str, int], now: float) -> None:
        try:
            issued = await self._sessions.renew(*generation)
        except Unavailable:
            issued = None
        self._give(route, request, issued, now)
        if len(self._recent) >= _MOST:
            self._recent.clear()
        self._recent[generation] = _Recent(issued, monotonic() + _REMEMBERED)

    def _give(self, route: Route, request: InboundRequest, issued: Issued | None, now: float) -> None:
        """Let the answer carry a new access token: where the old one came in our cookie, in it again, for no script."""
        request.issued = issued
        if issued is not None and self._cookie is not None and _came_in(self._cookie, route, request):
            request.issued_cookie = self._cookie.line(issued, now)


def _came_in(cookie: AccessCookie, route: Route, request: InboundRequest) -> bool:
    used = next((source for source in route.sources if source.find(request) is not None), None)
    return used is not None and used.credentials.cookies == {cookie.name.encode()}
