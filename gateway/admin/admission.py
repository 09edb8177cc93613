"""Who may use the admin API: whoever has its token, and whom an authenticator proves and the policies accept."""

import hmac
from collections.abc import Callable, Collection
from dataclasses import dataclass
from hashlib import sha256

from gateway.mechanisms.base import Authenticator, Policy
from gateway.mechanisms.sources import AuthorizationHeader
from gateway.model.clock import Clock
from gateway.model.decision import Pending
from gateway.model.errors import InvalidToken, MissingCredentials, RevokedToken, Unavailable, UnknownIssuer
from gateway.model.principal import Principal
from gateway.model.request import InboundRequest

_ROUNDS = 3
"""How often a request may wait for keys."""


@dataclass(frozen=True, slots=True)
class Admission:
    """`token_digest` is the SHA-256 of the admin token, None without one. `is_revoked` asks the view."""

    clock: Clock
    is_revoked: Callable[[Principal], bool]
    token_digest: bytes | None = None
    authenticators: tuple[Authenticator, ...] = ()
    policies: Collection[Policy] = ()

    async def actor(self, request: InboundRequest) -> str:
        """Return who is calling, for the audit log. Raises a refusal."""
        token = AuthorizationHeader().find(request)
        if token is None:
            raise MissingCredentials("no token in Authorization")
        if self.token_digest is not None and hmac.compare_digest(sha256(token.encode()).digest(), self.token_digest):
            return "admin token"
        principal = await self._principal(token)
        if self.is_revoked(principal):
            raise RevokedToken("revoked")
        for policy in self.policies:
            policy.check(principal, self.clock())
        return f"{principal.authenticator}:{principal.subject}"

    async def _principal(self, token: str) -> Principal:
        """Verified anew each time: administrators are few."""
        refusal: InvalidToken | Unavailable = UnknownIssuer("not the admin token, and of no issuer that is accepted")
        for authenticator in self.authenticators:
            if len(self.authenticators) > 1 and not authenticator.accepts(token):
                continue
            try:
                return await _authenticated(authenticator, token, self.clock)
            except (InvalidToken, Unavailable) as error:
                refusal = error
        raise refusal


async def _authenticated(authenticator: Authenticator, token: str, clock: Clock) -> Principal:
    for _ in range(_ROUNDS):
        answer = authenticator.authenticate(token, clock())
        if not isinstance(answer, Pending):
            return answer
        await answer.ready()
    raise Unavailable("keys keep being fetched")
