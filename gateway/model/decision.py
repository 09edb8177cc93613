"""The answer to "may this request pass?"."""

from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from gateway.model.errors import Refusal
from gateway.model.principal import Principal

R = TypeVar("R")
"""The route. The engine fills it in; the model does not know what a route is."""


class Allow(Generic[R]):
    """Forward to the route's upstream as `target` (origin-form bytes), with `identity` header lines added.

    `is_degraded`: revocations may have been missed, and the route lets such requests pass, marked.
    """

    def __init__(
        self, route: R, target: bytes, principal: Principal | None, identity: bytes, *, is_degraded: bool = False
    ) -> None:
        self.route: Final = route
        self.target: Final = target
        self.principal: Final = principal
        self.identity: Final = identity
        self.is_degraded: Final = is_degraded


class Deny(Generic[R]):
    """Refuse. `route` is None when none was found; `principal` is None where the caller was not proven, or expired."""

    def __init__(self, route: R | None, error: Refusal, principal: Principal | None = None) -> None:
        self.route: Final = route
        self.error: Final = error
        self.principal: Final = principal


class Answer(Generic[R]):
    """Answer in the gateway's own name, without a body: a CORS preflight."""

    def __init__(self, route: R, status: int, headers: tuple[tuple[str, str], ...]) -> None:
        self.route: Final = route
        self.status: Final = status
        self.headers: Final = headers


class Pending:
    """Not decidable yet: await `ready()`, which never raises a refusal, and ask again."""

    def __init__(self, ready: Callable[[], Awaitable[None]]) -> None:
        self.ready: Final = ready
