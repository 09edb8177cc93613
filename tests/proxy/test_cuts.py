from math import inf
from time import monotonic

from gateway.proxy.cuts import INTERVAL, Cut, Cuts


def test_the_first_is_told_at_once_and_the_rest_together() -> None:
    told: list[tuple[str, int]] = []
    cuts = Cuts(lambda reason, number: told.append((reason, number)))
    for _ in range(1000):
        cuts.add(Cut.SILENT)
    cuts.add(Cut.REFUSED)
    assert told == [("silent", 1)]
    cuts.deadline_passed(monotonic() + INTERVAL)
    assert told == [("silent", 1), ("silent", 999), ("refused", 1)]
    assert cuts.counts["silent"] == 1000


def test_when_it_is_over_nobody_looks_any_more() -> None:
    told: list[tuple[str, int]] = []
    cuts = Cuts(lambda reason, number: told.append((reason, number)))
    cuts.add(Cut.SILENT)
    cuts.deadline_passed(monotonic())
    assert cuts.deadline == inf
    cuts.add(Cut.SILENT)
    assert told == [("silent", 1), ("silent", 1)]
