"""What a configuration decides about sessions: lifetimes, rotation, windows, what counts as theft."""

from dataclasses import dataclass, field
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gateway.model.settings import Seconds, Settings


class AccessRules(Settings):
    """Access tokens (RFC 9068)."""

    lifetime: Annotated[Seconds, Field(ge=1, le=86400)] = 600
    """How long one is good."""
    jitter: Annotated[float, Field(ge=0, le=0.5)] = 0.05
    """By which share of the lifetime, at most, a token gets less: so that clients do not all come back at once."""
    renew_below: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """On routes with `renew: header`: the share of the lifetime below which a token is renewed."""


class RefreshRules(Settings):
    """Refresh tokens. At least one of `idle` and `absolute` must limit them."""

    format: Literal["opaque", "jwt"] = "opaque"
    """What new ones look like. Those of the other format stay good."""
    rotate: bool = True
    """Replace it at every exchange. Switching it off takes away the detection of theft; public clients need it on."""
    idle: Annotated[Seconds, Field(ge=1)] | None = 7 * 86400
    """How long one is good without being exchanged; null for no such limit."""
    absolute: Annotated[Seconds, Field(ge=1)] | None = 30 * 86400
    """How long a session lasts at most, whatever happens; null for no such limit."""
    sliding: bool = True
    """Let `idle` begin anew at every exchange, instead of at the login only."""

    @model_validator(mode="after")
    def _ends_some_time(self) -> Self:
        if self.idle is None and self.absolute is None:
            raise ValueError("a session must end some time: set idle, absolute, or both")
        return self


class ExchangeRules(Settings):
    """When a refresh token is exchanged for a new pair, and when it is taken for stolen."""

    access_token: Literal["none", "present", "bound"] = "none"  # noqa: S105
    """What must come beside the refresh token, expired or not: `none`: nothing. `present`: a genuine access token of
    the same session. `bound`: the access token of the same pair."""
    early: Literal["allow", "reject", "theft"] = "allow"
    """An exchange while the access token is still good. `reject`: refused with `Retry-After`. `theft`: the session
    ends."""
    early_slack: Seconds = 60
    """How long before its end an access token no longer counts as good for `early`: at most half of its lifetime. It
    must exceed what the clocks of the store and of the gateways may differ by."""
    concurrency_window: Annotated[Seconds, Field(le=300)] = 10
    """How long after an exchange the refresh token before it still gets the same pair: for parallel tabs. 0 means that
    each is good once, whatever happens to the answer; then `recovery_window` must be 0 too."""
    recovery_window: Annotated[Seconds, Field(le=7 * 86400)] = 3600
    """How long it still does while the new pair was never seen in use: for lost answers. 0 for not at all."""
    heal_limit: Annotated[int, Field(ge=0, le=10)] = 2
    """How many exchanges a store may have lost in a failover without its honest clients being logged out."""

    @model_validator(mode="after")
    def _strict_is_strict(self) -> Self:
        if self.concurrency_window == 0 and self.recovery_window > 0:
            raise ValueError("concurrency_window: 0 means single use: set recovery_window: 0 as well")
        return self

    @property
    def wants_access(self) -> bool:
        return self.access_token in ("present", "bound")

    @property
    def wants_pair(self) -> bool:
        return self.access_token == "bound"  # noqa: S105


class LimitRules(Settings):
    """How many sessions a subject may have."""

    per_subject: Annotated[int, Field(ge=0)] = 0
    """At most so many at a time; 0 for any number."""
    on_excess: Literal["evict_oldest", "reject"] = "evict_oldest"
    """What becomes of a login beyond: the oldest session ends, or the login is refused."""


@dataclass(frozen=True, slots=True)
class SessionRules:
    """All rules of one configuration."""

    access: AccessRules = field(default_factory=AccessRules)
    refresh: RefreshRules = field(default_factory=RefreshRules)
    exchange: ExchangeRules = field(default_factory=ExchangeRules)
    limit: LimitRules = field(default_factory=LimitRules)
    binding: Literal["none", "current"] = "none"
