"""What every endpoint needs."""

from collections.abc import Awaitable, Callable
from dataclasses import KW_ONLY, dataclass, field, replace

from aiohttp import web

from gateway.config.sessions import SessionsSettings
from gateway.endpoints.clients import Clients
from gateway.endpoints.junk import JunkLimit
from gateway.engine.sessions import SessionService
from gateway.mechanisms.authenticators.issued import IssuedAuthenticator
from gateway.mechanisms.base import OwnTokens
from gateway.mechanisms.logins.base import Login
from gateway.model.clock import Clock
from gateway.model.decision import Pending
from gateway.model.errors import StaleRevocations
from gateway.model.faces import Challenge
from gateway.model.principal import Principal
from gateway.state.revocations import RevocationView
from gateway.tokens.cache import TokenCache

Answering = Callable[[web.Request], Awaitable[web.Response]]
Around = Callable[[str, Answering], Answering]
CLIENT_ADDRESS = "X-Gateway-Client-Address"
"""Set by the proxy, and by nobody else."""
REQUEST_ID = "X-Request-ID"


@dataclass(slots=True, eq=False)
class Endpoints:
    """What the gateway's own endpoints for sessions are made of."""

    service: SessionService
    settings: SessionsSettings
    clients: Clients
    own: OwnTokens
    view: RevocationView
    challenge: Challenge
    clock: Clock
    _: KW_ONLY
    login: Login | None = None
    signup: Login | None = None
    record: Callable[[str, str], None] = lambda endpoint, result: None
    """Hears of every answer: which endpoint, and `ok` or the reason of a refusal."""
    failed: Callable[[BaseException], None] = lambda error: None
    """Hears of bugs."""
    around: Around | None = None
    """Goes around what answers at an endpoint, of which it gets the name: for who wants to know more of it."""
    max_staleness: float = 30
    """Seconds. When the view of revocations is older, introspection is refused."""
    request_id_header: str = REQUEST_ID
    token_headers: tuple[str, str] = ("X-Access-Token", "X-Refresh-Token")
    """Those of `answer: headers`."""
    junk: JunkLimit = None  # type: ignore[assignment] # set below
    """One of its own if none is given."""
    _access: IssuedAuthenticator = field(init=False)

    def __post_init__(self) -> None:
        if self.junk is None:
            self.junk = JunkLimit(self.settings.junk_per_minute, self.clock)
        unseen = replace(self.own, seen=lambda sid, generation: None)
        self._access = IssuedAuthenticator("own", unseen, self.own.expect.leeway, TokenCache(0, 0))

    def close(self) -> None:
        """Let go of threads; but the logins may be those of other endpoints too."""
        self.clients.close()

    def holder(self, access_token: str) -> Principal:
        """Return whom one of our own access tokens is of. Raises InvalidToken; does not look at revocations."""
        principal = self._access.authenticate(access_token, self.clock())
        assert not isinstance(principal, Pending), "our own keys are always at hand"
        return principal

    def require_fresh_view(self) -> None:
        """Raise StaleRevocations where nobody can say which tokens are revoked."""
        if self.view.staleness() > self.max_staleness:
            raise StaleRevocations("the view of revocations is too old to say anything about a token")


def client_address(request: web.Request) -> str:
    """Return the client's address, as far as trusted proxies vouch for it."""
    return request.headers.get(CLIENT_ADDRESS) or "unknown"
