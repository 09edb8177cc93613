"""The targets of an upstream: which of them get requests, and whose turn it is."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.config.compile_upstreams import UpstreamSpec
from gateway.model.errors import NoHealthyTarget
from gateway.model.upstream import TargetAddress

if TYPE_CHECKING:
    from gateway.proxy.upstream import UpstreamConnection


@dataclass(eq=False)
class PooledTarget:
    """One target, its connections (open or being opened), and those that are idle: the last used is lent first."""

    address: TargetAddress
    number: int
    """Its place among the targets."""
    name: str
    """The address as logs show it."""
    authority: bytes
    """Its own host and port, as in `Host`."""
    open: "set[UpstreamConnection]" = field(default_factory=set)
    idle: "list[UpstreamConnection]" = field(default_factory=list)
    is_healthy: bool = True
    """What its health checks say."""
    is_ejected: bool = False
    is_usable: bool = True
    """Whether it gets requests."""
    is_watched: bool = False
    """Whether its good answers matter too, not only its failures."""

    @property
    def busy(self) -> int:
        return len(self.open) - len(self.idle)


class Targets:
    """All of them, and those that get requests. Which these are is worked out when something changes."""

    def __init__(self, spec: UpstreamSpec) -> None:
        self.all = tuple(
            PooledTarget(address, number, str(address), address.authority.encode())
            for number, address in enumerate(spec.targets)
        )
        self.usable = self.all
        self._spec = spec
        self._is_in_turn = spec.balance == "round_robin"
        self._turn = 0

    def __iter__(self) -> Iterator[PooledTarget]:
        return iter(self.all)

    def refresh(self) -> None:
        """Work out again which targets get requests: if all healthy ones are ejected, these do nevertheless."""
        healthy = tuple(target for target in self.all if target.is_healthy)
        self.usable = tuple(target for target in healthy if not target.is_ejected) or healthy
        for target in self.all:
            target.is_usable = target in self.usable

    def choose(self) -> PooledTarget:
        """Return the target whose turn it is. Raises NoHealthyTarget."""
        usable = self.usable
        if len(usable) == 1:
            return usable[0]
        if not usable:
            raise NoHealthyTarget(f"{self._spec.name}: none of its targets is healthy ({len(self.all)})")
        turn = self._turn = (self._turn + 1) % len(usable)
        first = usable[turn]
        if self._is_in_turn and first.busy < self._spec.connections:
            return first
        following = usable[turn:] + usable[:turn]
        if self._is_in_turn:
            return next((target for target in following if target.busy < self._spec.connections), first)
        return min(following, key=lambda target: target.busy)

    def with_a_place(self, *, but: Collection[PooledTarget] = ()) -> PooledTarget | None:
        """Return a target that gets requests and has a place for another one."""
        turn = self._turn + 1
        others = (target for target in self.usable[turn:] + self.usable[:turn] if target not in but)
        return next((target for target in others if target.busy < self._spec.connections), None)
