"""A real view of revocations, with the news that a test brings it."""

from collections.abc import Callable
from time import monotonic

from gateway.model.principal import Principal
from gateway.model.revocation import FOREVER, Level, Revocation
from gateway.state.revocations import RevocationView
from tests.minting import NOW

LATER = NOW + 10**6


class News:
    """What arrives from a store. Nothing has yet: `fresh` brings the first reading, `go_stale` lets time pass since."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._passed = 0.0
        self.view = RevocationView(self._monotonic, lambda: NOW)

    def _monotonic(self) -> float:
        return self._clock() + self._passed

    def fresh(self) -> "News":
        self.view.refreshed(NOW * 1000, self._monotonic())
        return self

    def go_stale(self, seconds: float) -> None:
        self._passed += seconds

    def revoke(self, principal: Principal) -> None:
        """Make void whatever shares the first mark of a principal."""
        self.revoke_mark(principal.marks[0][0])

    def revoke_mark(self, mark: bytes) -> None:
        self.view.add([Revocation(Level.SESSION, mark, FOREVER, LATER, NOW * 1000)])


def standing_still() -> float:
    """A monotonic clock that does not move."""
    return 1000.0
