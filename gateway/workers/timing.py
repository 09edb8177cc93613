"""How patient the parent is. Constants, but for tests."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds."""

    look: float = 0.5
    """Between two looks at the workers."""
    frozen: float = 30.0
    """Without a sign of life a worker is killed."""
    start: float = 60.0
    """A worker that replaces one that serves must be ready by then."""
    settle: float = 5.0
    """A worker that replaces a dead one may wait so long for what blocks its readiness: others serve meanwhile."""
    missing: float = 10.0
    """So long one of several workers may be missing before nobody should send us more requests."""
    lasting: float = 10.0
    """A worker that has lived for so long is replaced at once when it dies."""
    first_pause: float = 0.5
    longest_pause: float = 5.0
    close: float = 5.0
    """For workers to take what waits in the queues, when all is stopped."""
    kill: float = 5.0
    """After `timeouts.drain`, for workers to end by themselves."""
