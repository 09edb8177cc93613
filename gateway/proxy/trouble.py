"""What the outcomes of requests mean for an upstream: targets are ejected and come back, its circuit opens and closes.

Hears of failures always; of answers only where one could change something, which `PooledTarget.is_watched` says.
"""

from collections.abc import Callable
from math import ceil, inf
from time import monotonic

from gateway.config.compile_upstreams import UpstreamSpec
from gateway.model.errors import CircuitOpen, NoHealthyTarget, Refusal
from gateway.model.notice import Notice
from gateway.proxy.breaker import Circuit
from gateway.proxy.ejection import Ejections
from gateway.proxy.targets import PooledTarget, Targets


class Trouble:
    """Of one upstream. `changed` is called when other targets than before get requests, or the circuit opened."""

    def __init__(self, spec: UpstreamSpec, targets: Targets, notice: Notice, changed: Callable[[], None]) -> None:
        self.circuit = None if spec.breaker is None else Circuit(spec.breaker)
        self.ejected_total = [0] * len(targets.all)
        self._name = spec.name
        self._targets = targets
        self._ejections = None if spec.ejection is None else Ejections(spec.ejection, len(targets.all))
        self._notice = notice
        self._changed = changed
        for target in targets.all:
            self._watch(target)

    @property
    def next_return(self) -> float:
        """When the next target comes back."""
        return inf if self._ejections is None else self._ejections.next_return

    def admit(self) -> None:
        """Raise CircuitOpen while the upstream is spared."""
        circuit = self.circuit
        if circuit is not None and not circuit.is_closed and (wait := circuit.wait(monotonic())) > 0:
            raise self._spared(wait)

    def refusal(self) -> Refusal | None:
        """Return why requests that wait for a connection shall wait no longer."""
        if not self._targets.usable:
            return NoHealthyTarget(f"{self._name}: its last healthy target is gone")
        seconds = 0 if self.circuit is None else self.circuit.spared_for(monotonic())
        return self._spared(seconds) if seconds else None

    def answered(self, target: PooledTarget, status: int, asked_at: float) -> None:
        """The head of an answer came."""
        ejections = self._ejections
        if ejections is not None and ejections.is_bad(status):
            self._fail(target, f"status {status}", asked_at)
        elif ejections is not None:
            ejections.succeeded(target.number, asked_at)
            self._watch(target)
        if self.circuit is not None and self.circuit.succeeded(asked_at, monotonic()):
            self._notice("circuit_closed", {"upstream": self._name})

    def failed(self, target: PooledTarget, error: Refusal, asked_at: float) -> None:
        """A request got no answer from this target."""
        self._fail(target, error.reason, asked_at)

    def request_failed(self, error: Refusal, asked_at: float) -> None:
        """A request got no answer from any target."""
        if self.circuit is not None and self.circuit.failed(asked_at, monotonic()):
            self._notice("circuit_opened", {"upstream": self._name, "error": error.reason})
            self._changed()

    def checked(self, target: PooledTarget, result: str, is_healthy: bool) -> None:
        """The health checks have found another verdict."""
        target.is_healthy = is_healthy
        fields = {"upstream": self._name, "target": target.name}
        if is_healthy:
            if self._ejections is not None:
                self._ejections.forgive(target.number, monotonic())
                target.is_ejected = False
                self._watch(target)
            self._notice("target_healthy", fields)
        else:
            self._notice("target_unhealthy", {**fields, "result": result})
        self._change()

    def take_back(self, now: float) -> None:
        """End the ejections whose time is over."""
        if self._ejections is None or self._ejections.next_return > now:
            return
        for number in self._ejections.returned(now):
            target = self._targets.all[number]
            target.is_ejected = False
            self._notice("target_returned", {"upstream": self._name, "target": target.name})
        self._change()

    def _fail(self, target: PooledTarget, cause: str, asked_at: float) -> None:
        if self._ejections is None:
            return
        seconds = self._ejections.failed(target.number, asked_at, monotonic())
        self._watch(target)
        if seconds:
            target.is_ejected = True
            self.ejected_total[target.number] += 1
            fields = {"upstream": self._name, "target": target.name, "seconds": seconds, "error": cause}
            self._notice("target_ejected", fields)
            self._change()

    def _spared(self, seconds: float) -> CircuitOpen:
        return CircuitOpen(f"{self._name}: too many requests failed", retry_after=ceil(seconds))

    def _watch(self, target: PooledTarget) -> None:
        ejections = self._ejections
        target.is_watched = self.circuit is not None or (ejections is not None and ejections.is_watched(target.number))

    def _change(self) -> None:
        self._targets.refresh()
        self._changed()
