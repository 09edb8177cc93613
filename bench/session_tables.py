"""What `python -m bench.sessions` prints."""

from collections.abc import Sequence

from bench.crowds import Idle, Start
from bench.lookups import LookUps
from bench.propagation import Delays
from bench.speeds import StoreSpeeds
from bench.tables import table


def speeds(stores: Sequence[StoreSpeeds]) -> str:
    """Return what logins, exchanges, requests and logouts cost, and what a session takes."""
    head = ("operation", "per s", "gateway CPU µs", "vs request", "vs SQLite", "store CPU µs", "p50 ms", "p99 ms")
    rows = [
        (
            f"{speed.what}, {each.store}",
            f"{speed.rate:,.0f}",
            f"{speed.cpu_us:.0f}",
            f"{speed.cpu_us / each.of('request').cpu_us:.2f}",
            f"{speed.cpu_us / stores[0].of(speed.what).cpu_us:.2f}",
            f"{speed.store_cpu_us:.0f}" if speed.store_cpu_us else "-",
            f"{speed.p50_ms:.1f}",
            f"{speed.p99_ms:.1f}",
        )
        for each in stores
        for speed in each.speeds
    ]
    sizes = [(each.store, f"{each.bytes_new:.0f}", f"{each.bytes_exchanged:.0f}") for each in stores]
    return f"{table(head, rows)}\n\n{table(('bytes per session', 'new', 'after an exchange'), sizes)}"


def delays(found: Sequence[Delays]) -> str:
    """Return how long revocations took to another process."""
    head = ("revocation to the other process", "number", "p50 ms", "p99 ms", "max ms")
    return table(
        head, [(each.store, str(each.number), *map(_ms, (each.p50, each.p99, each.greatest))) for each in found]
    )


def look_ups(found: Sequence[LookUps]) -> str:
    """Return what asking costs."""
    head = ("revocations", "nothing new ns", "one new ns", "new token ns", "decide ns", "decide, one new ns", "vs none")
    rows = [
        (
            f"{each.revocations:,}",
            *(f"{ns:,.0f}" for ns in (each.same, each.changed, each.new, each.decide_same, each.decide_changed)),
            f"{each.decide_changed / found[0].decide_same:.2f}",
        )
        for each in found
    ]
    return table(head, rows)


def starts(found: Sequence[Start], number: int, growth_mib: float) -> str:
    """Return how gateways start over stores with revocations."""
    head = ("store", "revocations", "start to ready s", "CPU s", "memory MiB", "in the store MiB")
    rows = [
        (
            each.store,
            f"{each.revocations:,}",
            f"{each.ready_seconds:.1f}",
            f"{each.cpu:.1f}",
            f"{each.resident_mib:.0f}",
            f"{each.store_mib:.0f}",
        )
        for each in found
    ]
    return f"{table(head, rows)}\n\nThe view itself takes {growth_mib:.1f} MiB for {number:,} revocations."


def idles(found: Sequence[Idle]) -> str:
    """Return what gateways use that have nothing to do."""
    return table(("idle, state in", "CPU of a core"), [(each.store, f"{each.share:.2%}") for each in found])


def _ms(milliseconds: float) -> str:
    return f"{milliseconds:.0f}"
