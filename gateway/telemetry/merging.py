"""One set of numbers for several processes.

Counters and histograms are summed over all processes there ever were: what an ended one had counted stays in the sum,
and so does what a process had counted before it began anew (a reload does that). So no sum goes backwards, which
`rate()` would take for a start from zero. A process that was killed counts with what was last heard of it.
Gauges are those of the present processes; the table says what they are together.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.telemetry.metrics import METRICS, PROCESS_METRICS, Durations, Merge, Reading, Scrape

Labels = tuple[str, ...]

_COUNTERS = frozenset(metric.name for metric in (*METRICS, *PROCESS_METRICS) if metric.kind == "counter")
_GAUGES: Mapping[str, Merge] = {
    metric.name: metric.merge for metric in (*METRICS, *PROCESS_METRICS) if metric.kind == "gauge"
}


@dataclass(frozen=True, slots=True)
class Numbers:
    """What one process has counted and measured."""

    readings: dict[str, dict[Labels, float]] = field(default_factory=dict)
    durations: dict[str, dict[Labels, Durations]] = field(default_factory=dict)


def numbers_of(scrape: Scrape) -> Numbers:
    """Return the numbers of a scrape, those of the process included."""
    readings = {name: dict(each) for name, each in scrape.readings.items()}
    for family in () if scrape.process is None else scrape.process.collect():
        for sample in family.samples:
            readings[sample.name] = {(): sample.value}
    durations = {name: {each[0]: each for each in row} for name, row in scrape.durations.items()}
    return Numbers(readings, durations)


def to_json(numbers: Numbers) -> bytes:
    """Return numbers as text. Long for a gateway with many routes: this may run in another thread."""
    readings = {name: [[*labels, value] for labels, value in each.items()] for name, each in numbers.readings.items()}
    durations = {name: list(each.values()) for name, each in numbers.durations.items()}
    return json.dumps([readings, durations], separators=(",", ":")).encode()


def from_json(text: bytes) -> Numbers:
    """Return the numbers of a text. Raises ValueError and its like for anything else than `to_json` makes."""
    readings, durations = json.loads(text)
    return Numbers(
        {name: {tuple(row[:-1]): row[-1] for row in rows} for name, rows in readings.items()},
        {
            name: {tuple(row[0]): (tuple(row[0]), tuple(row[1]), row[2], row[3]) for row in rows}
            for name, rows in durations.items()
        },
    )


class Ledger:
    """Keeps the numbers of several processes. A process is whatever the caller takes for its name."""

    def __init__(self) -> None:
        self._last: dict[object, Numbers] = {}
        self._before = Numbers()
        """What was counted by processes that have ended, or that began anew."""

    def take(self, process: object, numbers: Numbers) -> None:
        """Note what a process has counted until now."""
        last = self._last.get(process)
        if last is not None:
            self._keep(last, unless=numbers)
        self._last[process] = numbers

    def retire(self, process: object) -> None:
        """Note that a process has ended: what it counted stays."""
        last = self._last.pop(process, None)
        if last is not None:
            self._keep(last, unless=Numbers())

    def merged(self, own: Numbers) -> Scrape:
        """Return one scrape for all processes, and for what the caller itself measures."""
        present = [*self._last.values(), own]
        readings = _merged_readings([*present, self._before])
        durations = _merged_durations([*present, self._before])
        return Scrape(readings, durations)

    def _keep(self, last: Numbers, *, unless: Numbers) -> None:
        """Add what was counted to the past, unless the process goes on counting from there."""
        for name in _COUNTERS & last.readings.keys():
            now, before = unless.readings.get(name, {}), self._before.readings.setdefault(name, {})
            for labels, value in last.readings[name].items():
                if now.get(labels, -1) < value:
                    before[labels] = before.get(labels, 0) + value
        for name, rows in last.durations.items():
            later, past = unless.durations.get(name, {}), self._before.durations.setdefault(name, {})
            for labels, row in rows.items():
                if labels not in later or sum(later[labels][2]) < sum(row[2]):
                    past[labels] = _sum(past.get(labels), row)


def _merged_readings(all_numbers: Sequence[Numbers]) -> dict[str, list[Reading]]:
    merged: dict[str, list[Reading]] = {}
    for name in sorted({name for numbers in all_numbers for name in numbers.readings}):
        series: defaultdict[Labels, list[float]] = defaultdict(list)
        for numbers in all_numbers:
            for labels, value in numbers.readings.get(name, {}).items():
                series[labels].append(value)
        together = _TOGETHER[_GAUGES.get(name, "sum")]
        merged[name] = [(labels, together(values)) for labels, values in series.items()]
    return merged


_TOGETHER: Mapping[Merge, Any] = {"sum": sum, "min": min, "max": max}


def _merged_durations(all_numbers: Iterable[Numbers]) -> dict[str, list[Durations]]:
    merged: dict[str, dict[Labels, Durations]] = {}
    for name, labels, row in _rows(all_numbers):
        series = merged.setdefault(name, {})
        series[labels] = _sum(series.get(labels), row)
    return {name: list(series.values()) for name, series in merged.items()}


def _rows(all_numbers: Iterable[Numbers]) -> Iterator[tuple[str, Labels, Durations]]:
    for numbers in all_numbers:
        for name, rows in numbers.durations.items():
            for labels, row in rows.items():
                yield name, labels, row


def _sum(one: Durations | None, other: Durations) -> Durations:
    if one is None or one[1] != other[1]:  # other bounds are those of another version: nothing to add to
        return other
    counts = [mine + yours for mine, yours in zip(one[2], other[2], strict=True)]
    return one[0], one[1], counts, one[3] + other[3]
