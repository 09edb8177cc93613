"""Settings of what happens when an upstream is in trouble: checks, ejection, the circuit breaker, retries."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from gateway.model.settings import Seconds, Settings

_Positive = Annotated[Seconds, Field(gt=0)]
_Times = Annotated[int, Field(ge=1)]
_Share = Annotated[float, Field(gt=0, le=1)]


class Health(Settings):
    """Active health checks of each target. A target counts as healthy until its checks have said otherwise."""

    path: Annotated[str, Field(pattern=r"^/[!-~]*$")]
    """What is asked for with GET, on a connection of its own. The `Host` is the upstream's `host`, or with
    `preserve` the target's own."""
    interval: _Positive = 5
    """Between two checks of a target. Each pause is up to a fifth shorter or longer."""
    timeout: _Positive = 2
    """For the connection and the head of the answer."""
    failures: _Times = 3
    """Failed checks in a row that make a target unhealthy."""
    successes: _Times = 2
    """Good checks in a row that make it healthy again."""
    statuses: Annotated[frozenset[Annotated[int, Field(ge=200, le=599)]], Field(min_length=1)] | None = None
    """Statuses of a good answer; any 2xx without it."""


class Ejection(Settings):
    """A target that fails requests in a row gets none for a while, as long as others can take them."""

    failures: _Times = 5
    """Requests in a row that it failed: not reachable, no answer in time, closed or malformed before an answer, or
    one of `statuses`."""
    statuses: frozenset[Annotated[int, Field(ge=500, le=599)]] = frozenset({502, 503, 504})
    """Statuses of the target's own that count as failures."""
    time: _Positive = 10
    """How long it gets no requests. Doubled each time that it fails the first request afterwards."""
    longest: _Positive = 300
    """The longest that this grows to."""
    most: Annotated[int, Field(ge=1, le=100)] = 50
    """How many of the targets may be ejected at once, in percent; one may in any case."""

    @model_validator(mode="after")
    def _longest_is_longest(self) -> Self:
        if self.longest < self.time:
            raise ValueError("longest must not be shorter than time")
        return self


class Breaker(Settings):
    """A circuit breaker: while too many requests fail, the upstream gets none, and they are refused at once (503)."""

    share: _Share = 0.5
    """The share of failures that opens it: not reachable, no answer in time, closed or malformed before an answer."""
    requests: _Times = 20
    """With fewer requests `within`, it stays closed."""
    within: _Positive = 10
    """How far it looks back."""
    open: _Positive = 5
    """How long it stays open before it lets probes through."""
    probes: _Times = 1
    """Requests that must be answered, one after the other or at once, for it to close again."""


class Retries(Settings):
    """What is tried again. Never a request that an upstream may have acted upon, unless its method is idempotent."""

    targets: Annotated[int, Field(ge=0)] = 2
    """How many other targets are tried for a request when no connection can be made."""
    unanswered: bool = True
    """Send an idempotent request without a body to another target, once, when the first closed the connection
    without a byte of an answer."""
    budget: Annotated[float, Field(ge=0, le=1)] = 0.2
    """How many of these retries there may be for each request."""
    at_least: Annotated[float, Field(ge=0)] = 10
    """How many of them there may be in a second in any case."""
