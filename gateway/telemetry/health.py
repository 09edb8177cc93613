"""Whether this process should live, and whether it should get requests now.

Only what this process alone can mend by a restart ends its life, and only what makes it useless here blocks its
readiness. An issuer or an upstream that cannot be reached does neither: it would take every replica out at once and
help nobody.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Report:
    """The answer to one probe, with the reasons if it is not a good one."""

    blocked_by: tuple[str, ...]

    @property
    def is_ok(self) -> bool:
        return not self.blocked_by


class Health:
    """What the probes are told.

    Reasons are constant words or names from the configuration: they are shown to whoever asks.
    """

    def __init__(self) -> None:
        self._is_started = False
        self._is_draining = False
        self._fatal: dict[str, None] = {}
        self._blockers: dict[str, None] = {}

    def mark_started(self) -> None:
        """Note that the first start is complete."""
        self._is_started = True

    def drain(self) -> None:
        """Ask for no more requests. There is no way back."""
        self._is_draining = True

    def block(self, reason: str) -> None:
        """Ask for no requests while this reason holds."""
        self._blockers[reason] = None

    def unblock(self, reason: str) -> None:
        """Withdraw a reason, whether it holds or not."""
        self._blockers.pop(reason, None)

    @property
    def is_blocked(self) -> bool:
        """Whether a reason not to be ready holds, a start or an end aside."""
        return bool(self._blockers)

    def give_up(self, reason: str) -> None:
        """Ask to be restarted: something is broken that will not come back by itself."""
        self._fatal[reason] = None

    def live(self) -> Report:
        """Say whether a restart is not needed. That this is answered at all shows that the event loop runs."""
        return Report(tuple(self._fatal))

    def started(self) -> Report:
        """Say whether the first start is complete."""
        return Report(() if self._is_started else ("starting",))

    def ready(self) -> Report:
        """Say whether requests are welcome."""
        draining = ("draining",) if self._is_draining else ()
        return Report((*self.started().blocked_by, *draining, *self._fatal, *self._blockers))
