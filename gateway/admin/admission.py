"""Who may use the admin API, and for what.

Whoever sends a token is who the token proves, whatever certificate the connection was made with: what is sent on
purpose counts before what a browser or a tool sends by itself. Without a token it is the certificate.
"""

import hmac
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from gateway.admin.browsers import require_own_name
from gateway.admin.certificates import Certificate
from gateway.admin.roles import Actor, Role
from gateway.mechanisms.authorization import AuthorizationHeader
from gateway.mechanisms.base import Authenticator, Policy
from gateway.model.clock import Clock
from gateway.model.decision import Pending
from gateway.model.errors import (
    InvalidToken,
    MissingCredentials,
    Refusal,
    RevokedToken,
    StaleRevocations,
    Unavailable,
    UnknownCertificate,
    UnknownIssuer,
)
from gateway.model.principal import Principal
from gateway.model.request import InboundRequest
from gateway.state.rate_limit import RateLimit
from gateway.state.revocations import RevocationView

_ROUNDS = 3
"""How often a request may wait for keys."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Who has a role: by a token, of which here is the SHA-256; by a token of an issuer that meets all `policies`, if
    there are any; by a certificate with one of these names."""

    token_digests: Sequence[bytes] = field(default=(), repr=False)
    policies: Collection[Policy] = ()
    certificates: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Admission:
    """Callers with a token of an issuer are refused while the view is older than `max_staleness` seconds: theirs may be
    revoked. The admin tokens work then all the same. Without a view nothing is ever revoked here.

    `authorities` are those of client certificates, as in ServerTls; `names` are the host names of our own certificate.
    """

    clock: Clock
    view: RevocationView | None
    max_staleness: float
    authenticators: tuple[Authenticator, ...] = ()
    write: Grant = Grant()
    read: Grant = Grant()
    rate_limit: RateLimit | None = None
    authorities: bytes | None = None
    names: frozenset[str] = frozenset()

    async def actor(self, request: InboundRequest, certificate: Certificate | None = None) -> Actor:
        """Return who is calling. Raises a refusal."""
        token = AuthorizationHeader().find(request)
        if token is not None:
            return self._by_secret(token) or await self._by_issuer(token)
        if certificate is not None:
            require_own_name(request, self.names)
            return self._by_certificate(certificate)
        raise MissingCredentials("no token in Authorization")

    def _by_secret(self, token: str) -> Actor | None:
        digest = sha256(token.encode()).digest()
        if _holds(self.write, digest):
            return Actor("admin token", "write")
        return Actor("read token", "read") if _holds(self.read, digest) else None

    def _by_certificate(self, certificate: Certificate) -> Actor:
        if certificate.ends_at <= self.clock():
            raise UnknownCertificate("it ended while the connection was open")
        for role, grant in self._grants():
            if names := sorted(certificate.names.intersection(grant.certificates)):
                return Actor(f"certificate {names[0]}", role)
        raise UnknownCertificate("no name of it is among the certificates of operators")

    async def _by_issuer(self, token: str) -> Actor:
        principal = await self._principal(token)
        if self.view is not None:
            if self.view.is_revoked(principal):
                raise RevokedToken("revoked")
            if self.view.staleness() > self.max_staleness:
                raise StaleRevocations("the view of revocations is too old to say anything about a token")
        role = self._role(principal)
        return Actor(f"{principal.authenticator}:{principal.subject}", role)

    def _role(self, principal: Principal) -> Role:
        """Return the first role whose policies hold. Raises what the last one misses: the least that is asked for."""
        missed: Refusal | None = None
        for role, grant in self._grants():
            try:
                for policy in grant.policies:
                    policy.check(principal, self.clock())
            except Refusal as refusal:
                missed = refusal
            else:
                if grant.policies:
                    return role
        raise missed or UnknownIssuer("no caller with a token of an issuer has a role")

    def _grants(self) -> tuple[tuple[Role, Grant], ...]:
        return ("write", self.write), ("read", self.read)

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


def _holds(grant: Grant, digest: bytes) -> bool:
    """Say whether it is the digest of a token; in the same time for each, and for none."""
    return sum(hmac.compare_digest(digest, each) for each in grant.token_digests) > 0


async def _authenticated(authenticator: Authenticator, token: str, clock: Clock) -> Principal:
    """Verify anew each time: administrators are few."""
    for _ in range(_ROUNDS):
        answer = authenticator.authenticate(token, clock())
        if not isinstance(answer, Pending):
            return answer
        await answer.ready()
    raise Unavailable("keys keep being fetched")
