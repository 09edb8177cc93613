"""Points in time, in words."""

from datetime import UTC, datetime

LAST_SECOND = 253402300799
"""The end of the year 9999, which is as far as `datetime` goes."""
_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"))


def moment(seconds: float) -> str:
    """Return Unix seconds as a date and time in UTC."""
    if not 0 <= seconds <= LAST_SECOND:
        return "no possible time"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def distance(seconds: float, now: float) -> str:
    """Return how far a time is from now: "in 10 minutes", "2 hours ago"."""
    words = _duration(abs(seconds - now))
    return f"in {words}" if seconds > now else f"{words} ago"


def _duration(seconds: float) -> str:
    """Return the largest unit that fits at least twice, rounded down, so that "1 hour" is never said of 119 minutes."""
    for size, unit in _UNITS:
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}s"
    return f"{seconds:.0f} second{'' if round(seconds) == 1 else 's'}"
