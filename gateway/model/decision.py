"""The answer to "may this request pass?"."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from gateway.model.errors import Refusal
from gateway.model.principal import Principal

R = TypeVar("R")
"""The route. The engine fills it in; the model does not know what a route is."""


class Allow(NamedTuple, Generic[R]):
    """Forward to the route's upstream as `target` (origin-form bytes), with `identity` header lines added.

    `is_degraded`: revocations may have been missed, and the route lets such requests pass, marked.
    """

    route: R
    target: bytes
    principal: Principal | None
    identity: bytes
    is_degraded: bool = False


@dataclass(frozen=True, slots=True)
class Deny(Generic[R]):
    """Refuse. `route` is None when none was found; `principal` is None where the caller was not proven, or expired."""

    route: R | None
    error: Refusal
    principal: Principal | None = None


@dataclass(frozen=True, slots=True)
class Answer(Generic[R]):
    """Answer in the gateway's own name, without a body: a CORS preflight."""

    route: R
    status: int
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Pending:
    """Not decidable yet: await `ready()`, which never raises a refusal, and ask again."""

    ready: Callable[[], Awaitable[None]]
