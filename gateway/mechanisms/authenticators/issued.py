"""Callers proven by the access tokens that the gateway itself issues (RFC 9068)."""

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field

from gateway.mechanisms.authenticators.jwt import JwtAuthenticator
from gateway.mechanisms.base import BadSetting, OwnTokens, Resources
from gateway.model.decision import Pending
from gateway.model.errors import InvalidClaim
from gateway.model.principal import Claims, Principal
from gateway.model.session import is_sid
from gateway.model.settings import ByteSize, Seconds, Settings
from gateway.tokens.cache import TokenCache
from gateway.tokens.keys import Key


class IssuedSettings(Settings):
    """The gateway's own access tokens. Their issuer, audiences and keys are those of `sessions`."""

    type: Literal["issued"]
    """The kind of authenticator."""
    leeway: Annotated[Seconds, Field(le=300)] = 5
    """How far the clocks of gateways may be apart."""
    cache_entries: Annotated[int, Field(ge=0)] = 10_000
    """How many verified tokens are remembered by each process."""
    cache_bytes: ByteSize = 16 * 1024 * 1024
    """How long the remembered tokens may be together."""

    def build(self, name: str, resources: Resources) -> "IssuedAuthenticator":
        """Return the authenticator. Raises BadSetting."""
        if resources.own is None:
            raise BadSetting("the gateway issues no tokens; configure sessions", ("type",))
        cache = TokenCache(self.cache_entries, self.cache_bytes)
        return IssuedAuthenticator(name, resources.own, self.leeway, cache)


class IssuedAuthenticator(JwtAuthenticator):
    """An Authenticator for our own access tokens. Tells the session of each when it is seen for the first time."""

    def __init__(self, name: str, own: OwnTokens, leeway: float, cache: TokenCache) -> None:
        super().__init__(name, own.keys, replace(own.expect, leeway=leeway), cache)
        self._seen = own.seen
        self._forgetter = own.keys.forget_in(cache)

    def authenticate(self, token: str, now: float) -> Principal | Pending:
        """Only here, and not in `prove`: there nobody has shown the token yet."""
        principal = super().authenticate(token, now)
        if isinstance(principal, Principal) and principal.session_id is not None and principal.generation is not None:
            self._seen(principal.session_id, principal.generation)
        return principal

    def _principal(self, claims: Claims, token: str, key: Key) -> Principal:
        sid, generation = _session(claims)
        return self._principals.own_principal(claims, token, key.thumbprint, sid, generation)


def _session(claims: Claims) -> tuple[str, int]:
    """Return `sid` and `gen`. Raises InvalidClaim: then one of our keys has signed something else."""
    sid, generation = claims["sid"], claims["gen"]
    if type(sid) is not str or not is_sid(sid):
        raise InvalidClaim("sid is not the id of a session")
    if type(generation) is not int or generation < 0:
        raise InvalidClaim("gen is not a generation")
    if type(claims["jti"]) is not str:
        raise InvalidClaim("jti is not a string")
    if type(claims["auth_time"]) is not int:
        raise InvalidClaim("auth_time is not a number of seconds")
    return sid, generation
