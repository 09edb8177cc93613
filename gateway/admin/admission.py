"""Who may use the admin API: whoever has its token, and whom an authenticator proves and the policies accept."""

import hmac
from collections.abc import Collection
from dataclasses import dataclass, field
from hashlib import sha256

from gateway.mechanisms.authorization import AuthorizationHeader
from gateway.mechanisms.base import Authenticator, Policy
from gateway.model.clock import Clock
from gateway.model.decision import Pending
from gateway.model.errors import (
    InvalidToken,
    MissingCredentials,
    RevokedToken,
    StaleRevocations,
    Unavailable,
    UnknownIssuer,
)
from gateway.model.principal import Principal
from gateway.model.request import InboundRequest
from gateway.state.revocations import RevocationView

_ROUNDS = 3
"""How often a request may wait for keys."""


@dataclass(frozen=True, slots=True)
class Admission:
    """`token_digests` are the SHA-256 of the admin tokens: more than one while they are replaced.

    Callers with a token of an issuer are refused while the view is older than `max_staleness` seconds: theirs may be
    revoked. The admin token works then all the same.
    """

    clock: Clock
    view: RevocationView
    max_staleness: float
    token_digests: tuple[bytes, ...] = field(default=(), repr=False)
    authenticators: tuple[Authenticator, ...] = ()
    policies: Collection[Policy] = ()

    async def actor(self, request: InboundRequest) -> str:
        """Return who is calling, for the audit log. Raises a refusal."""
        token = AuthorizationHeader().find(request)
        if token is None:
            raise MissingCredentials("no token in Authorization")
        digest = sha256(token.encode()).digest()
        if any(hmac.compare_digest(digest, each) for each in self.token_digests):
            return "admin token"
        principal = await self._principal(token)
        if self.view.is_revoked(principal):
            raise RevokedToken("revoked")
        if self.view.staleness() > self.max_staleness:
            raise StaleRevocations("the view of revocations is too old to say anything about a token")
        for policy in self.policies:
            policy.check(principal, self.clock())
        return f"{principal.authenticator}:{principal.subject}"

    async def _principal(self, token: str) -> Principal:
        """Return whom the first authenticator proves. What cannot be known is not refused as wrong."""
        refusal: InvalidToken | Unavailable = UnknownIssuer("not the admin token, and of no issuer that is accepted")
        for authenticator in self.authenticators:
            if len(self.authenticators) > 1 and not authenticator.accepts(token):
                continue
            try:
                return await _authenticated(authenticator, token, self.clock)
            except Unavailable as error:
                refusal = error
            except InvalidToken as error:
                refusal = refusal if isinstance(refusal, Unavailable) else error
        raise refusal


async def _authenticated(authenticator: Authenticator, token: str, clock: Clock) -> Principal:
    """Verify anew each time: administrators are few."""
    for _ in range(_ROUNDS):
        answer = authenticator.authenticate(token, clock())
        if not isinstance(answer, Pending):
            return answer
        await answer.ready()
    raise Unavailable("keys keep being fetched")
