"""Which decisions were given already: each is given once, the oldest first."""

from collections.abc import Mapping, Sequence
from typing import Any

Decision = Mapping[str, Any]

_OVERLAP = 1.0
"""Seconds that are asked for again. Workers are not asked in the same instant, so the latest may not come first."""


class Seen:
    """Remembers what the answers to the last questions had in common with the next."""

    def __init__(self) -> None:
        self._given: dict[tuple[str, float, float], float] = {}
        self._floor = 0.0
        self._latest = 0.0
        self._is_first = True

    @property
    def since(self) -> float:
        """Return the end after which decisions are to be asked for."""
        return max(self._latest - _OVERLAP, 0.0)

    def new(self, decisions: Sequence[Decision], most: int | None = None) -> list[Decision]:
        """Return those that were not given yet, the oldest first; of the first answer the last `most`.

        What the first answer left out is never given: it is older than what was asked for.
        """
        found = sorted((each for each in decisions if self._is_new(each)), key=lambda each: float(each["ended"]))
        self._latest = max([self._latest, *(float(each["ended"]) for each in found)])
        for each in found:
            self._given[_key(each)] = float(each["ended"])
        self._given = {key: ended for key, ended in self._given.items() if ended > self.since}
        if self._is_first and most is not None:
            found = found[len(found) - most :] if most < len(found) else found
            self._floor = float(found[0]["ended"]) if found else self._latest
        self._is_first = False
        return found

    def _is_new(self, decision: Decision) -> bool:
        return float(decision["ended"]) >= self._floor and _key(decision) not in self._given


def _key(decision: Decision) -> tuple[str, float, float]:
    """Ids of requests alone would not do: clients may choose theirs."""
    return str(decision["request_id"]), float(decision["time"]), float(decision["ended"])
