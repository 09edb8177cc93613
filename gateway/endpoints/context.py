"""What every endpoint needs."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from aiohttp import web

from gateway.config.sessions import SessionsSettings
from gateway.endpoints.clients import Clients
from gateway.endpoints.junk import JunkLimit
from gateway.engine.sessions import SessionService
from gateway.mechanisms.authenticators.issued import IssuedAuthenticator
from gateway.mechanisms.base import OwnTokens
from gateway.mechanisms.logins import Login
from gateway.model.clock import Clock
from gateway.model.decision import Pending
from gateway.model.errors import StaleRevocations
from gateway.model.faces import Challenge
from gateway.model.principal import Principal
from gateway.state.revocations import RevocationView
from gateway.tokens.cache import TokenCache

CLIENT_ADDRESS = "X-Gateway-Client-Address"
"""Set by the proxy, and by nobody else."""
REQUEST_ID = "X-Request-ID"


@dataclass(frozen=True, slots=True)
class Answered:
    """Event: an endpoint answered. `result` is `ok`, or the reason of a refusal."""

    endpoint: str
    status: int
    result: str
    address: str


class Endpoints:
    """The gateway's own endpoints for sessions: what they are made of."""

    def __init__(
        self,
        service: SessionService,
        settings: SessionsSettings,
        clients: Clients,
        own: OwnTokens,
        view: RevocationView,
        challenge: Challenge,
        clock: Clock,
        *,
        login: Login | None = None,
        signup: Login | None = None,
        record: Callable[[Answered], None] = lambda event: None,
        failed: Callable[[BaseException], None] = lambda error: None,
        max_staleness: float = 30,
        request_id_header: str = REQUEST_ID,
        token_headers: tuple[str, str] = ("X-Access-Token", "X-Refresh-Token"),
    ) -> None:
        """`failed` hears of bugs. Introspection is refused when the view of revocations is older than
        `max_staleness` seconds. `token_headers` are those of `answer: headers`."""
        self.service = service
        self.settings = settings
        self.clients = clients
        self.own = own
        self.view = view
        self.challenge = challenge
        self.clock = clock
        self.login = login
        self.signup = signup
        self.record = record
        self.failed = failed
        self.max_staleness = max_staleness
        self.request_id_header = request_id_header
        self.token_headers = token_headers
        self.junk = JunkLimit(settings.junk_per_minute, clock)
        self._access = IssuedAuthenticator(
            "own", replace(own, seen=lambda sid, generation: None), own.expect.leeway, TokenCache(0, 0)
        )

    def close(self) -> None:
        """Let go of threads."""
        self.clients.close()
        for login in (self.login, self.signup):
            if login is not None:
                login.close()

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
