"""The setting `rate_limits`: how often whoever asks may ask."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from gateway.model.settings import Seconds, Settings
from gateway.state.rate_limit import By, RateLimit


class RateLimitSettings(Settings):
    """How many requests may pass in what time; beyond that they are refused (429). Every route counts for itself."""

    by: By
    """Whose requests count together: `client_address` (IPv6: the /64), `subject` or `client_id` of the token."""
    requests: Annotated[int, Field(ge=1, le=1_000_000)]
    """How many may pass in the time `per`, spread evenly."""
    per: Annotated[Seconds, Field(ge=0.001, le=86400)]
    """The time: `1s`, `1m`, `1h`."""
    burst: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """How many may pass at once after a pause; as many as `requests` if not set."""
    shared: bool = False
    """Count together with all other processes, through the Redis of `state`. Otherwise each process counts alone."""

    def build(self, route: str) -> RateLimit:
        """Return the limit of a route. Its name is the same as long as what it limits is."""
        burst = self.burst or self.requests
        name = f"{route} {self.by} {self.requests} {self.per!r} {burst}"
        return RateLimit(name, self.by, self.requests, self.per, burst, self.shared)


class AddressRateLimitSettings(RateLimitSettings):
    """How many requests of one address may pass in what time. Beyond that they are refused (429)."""

    by: Literal["client_address"]
    """Whose requests count together: `client_address` (IPv6: the /64)."""


def address_limits(limits: Sequence[RateLimitSettings], route: str) -> tuple[RateLimit, ...]:
    """Return those that count before a token is looked at."""
    return tuple(limit.build(route) for limit in limits if limit.by == "client_address")


def caller_limits(limits: Sequence[RateLimitSettings], route: str) -> tuple[RateLimit, ...]:
    """Return those that count when the caller is proven."""
    return tuple(limit.build(route) for limit in limits if limit.by != "client_address")
