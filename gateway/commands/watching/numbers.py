"""Numbers as they are read at a glance: three digits, and a unit."""

_SIZES = ("B", "KiB", "MiB", "GiB", "TiB")


def rate(per_second: float) -> str:
    """Return what happens a second: `0`, `0.04`, `1.2`, `340`, `12k`."""
    if per_second >= 9999.5:
        return f"{per_second / 1000:.0f}k"
    if per_second >= 99.5:
        return f"{per_second:.0f}"
    if per_second >= 0.095:
        return f"{per_second:.1f}"
    return f"{per_second:.2f}" if per_second >= 0.005 else "0"


def duration(seconds: float) -> str:
    """Return a duration: `85 us`, `1.2 ms`, `340 ms`, `2.5 s`, `12 min`."""
    for limit, factor, unit in ((0.0009995, 1e6, "us"), (0.9995, 1e3, "ms"), (119.5, 1, "s")):
        if seconds < limit:
            number = seconds * factor
            return f"{number:.0f} {unit}" if number >= 9.95 or unit == "us" else f"{number:.1f} {unit}"
    return f"{seconds / 60:.0f} min"


def size(number: float) -> str:
    """Return a number of bytes: `0 B`, `3.4 MiB`."""
    for unit in _SIZES[:-1]:
        if number < 1023.5:
            return f"{number:.1f} {unit}" if unit != "B" and number < 9.95 else f"{number:.0f} {unit}"
        number /= 1024
    return f"{number:.1f} {_SIZES[-1]}"


def count(number: float) -> str:
    """Return a number of things: `1,234`."""
    return f"{number:,.0f}"
