"""The latest decisions of this process: a ring in memory, for operators who ask why a request was refused.

What is kept is what the access log says of a request, and claims that the settings name. The oldest goes first.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final

from gateway.model.principal import Principal
from gateway.telemetry.access_log import PASSED, AccessEntry, AccessValues
from gateway.telemetry.decision_settings import DecisionSettings

_LONGEST: Final = 512
"""Characters of a path, a user agent and whatever else clients or their issuers choose. Longer ones are cut."""
_LONGEST_CLAIM: Final = 256
_AT_ONCE: Final = 2000
"""Entries that are looked at in one turn: about a millisecond."""
_BURST: Final = 10.0
"""Decisions that went well and are kept at once, however small the ring."""

_Kept = tuple[float, AccessValues, str | None, dict[str, Any]]
"""When the request was over, what the access log says of it, the session and the claims of its caller."""
_NO_CLAIMS: Final[dict[str, Any]] = {}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which decisions somebody asks for; None for any. `since` is a time in Unix seconds: only what ended later."""

    request_id: str | None = None
    subject: str | None = None
    route: str | None = None
    reason: str | None = None
    client: str | None = None
    is_refusal: bool | None = None
    since: float = 0.0

    def fits(self, values: AccessValues) -> bool:
        request_id, route, reason, client, subject = values[1], values[2], values[6], values[7], values[8]
        return (
            self.reason in (None, reason)
            and self.route in (None, route)
            and self.subject in (None, subject)
            and self.client in (None, client)
            and self.request_id in (None, request_id)
            and self.is_refusal in (None, reason not in PASSED)
        )


class DecisionRing:
    """Belongs to the event loop's thread."""

    def __init__(self, settings: DecisionSettings) -> None:
        self._kept: deque[_Kept] = deque()
        self.adapt(settings)

    def adapt(self, settings: DecisionSettings) -> None:
        """Go by other settings from now on. What is kept stays, if there is room for it."""
        self._kept = deque(self._kept, settings.keep)
        self.keep = settings.keep
        self._most = max(_BURST, settings.keep / 10)
        self._room = self._most  # how many of those that went well may be kept now
        self._seen_at = 0.0
        self._claims = settings.claims
        self._every = round(1 / settings.sample) if settings.sample else 0
        self._until_next = self._every
        self.is_on = settings.keep > 0

    def wants(self, status: int, reason: str, now: float) -> bool:
        """Say whether a decision at `now` (monotonic time) is to be kept.

        Of those that went well one in so many is: a tenth of the ring at once, and then a hundredth of it a second, or
        they would push the others out. All others are.
        """
        if status >= 500 or reason not in PASSED:
            return True
        self._until_next -= 1
        if self._until_next:
            return False
        self._until_next = self._every
        self._room = min(self._most, self._room + (now - self._seen_at) * self._most / 10)
        self._seen_at = now
        if self._room < 1:
            return False
        self._room -= 1
        return True

    def add(self, ended: float, values: AccessValues, principal: Principal | None) -> None:
        """Keep a decision. `ended` is when the request was over, in Unix seconds; `values` are those of its line in
        the access log."""
        subject, token_id, agent, error = values[8], values[10], values[19], values[20]
        if (
            len(values[4]) > _LONGEST
            or (agent is not None and len(agent) > _LONGEST)
            or (error is not None and len(error) > _LONGEST)
            or (subject is not None and len(subject) > _LONGEST)
            or (token_id is not None and len(token_id) > _LONGEST)
        ):
            values = _shortened(values)
        if principal is None:
            self._kept.append((ended, values, None, _NO_CLAIMS))
        else:
            claims = _chosen(principal.claims, self._claims) if self._claims else _NO_CLAIMS
            self._kept.append((ended, values, principal.session_id, claims))

    async def found(self, wanted: Wanted, most: int) -> list[dict[str, Any]]:
        """Return the decisions that fit as operators see them, those that ended last first.

        With thousands to look at requests have their turn in between.
        """
        wanted = replace(wanted, subject=_cut_any(wanted.subject))
        kept = tuple(self._kept)
        found: list[dict[str, Any]] = []
        for end in range(len(kept), 0, -_AT_ONCE):
            if len(found) == most or kept[end - 1][0] <= wanted.since:
                break
            if end < len(kept):
                await asyncio.sleep(0)
            some = reversed(kept[max(0, end - _AT_ONCE) : end])
            found += islice(_fitting(some, wanted), most - len(found))
        return found


def _fitting(kept: Iterable[_Kept], wanted: Wanted) -> Iterator[dict[str, Any]]:
    for ended, values, session, claims in kept:
        if ended <= wanted.since:
            return
        if wanted.fits(values):
            shown = AccessEntry(*values)._asdict()
            outcome = "allow" if shown["reason"] in PASSED else "refuse"
            detail = shown.pop("error")
            yield {
                "ended": ended,
                "outcome": outcome,
                "detail": detail,
                "session": session,
                "claims": claims,
                **shown,
            }


def _shortened(values: AccessValues) -> AccessValues:
    entry = AccessEntry(*values)
    shortened: AccessValues = entry._replace(
        path=_cut(entry.path),
        subject=_cut_any(entry.subject),
        token_id=_cut_any(entry.token_id),
        user_agent=_cut_any(entry.user_agent),
        error=_cut_any(entry.error),
    )
    return shortened


def _chosen(claims: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Return those claims that may be shown. What is long or nested is cut: it is there to recognise somebody."""
    chosen = {}
    for name in names:
        if (value := claims.get(name)) is not None:
            chosen[name] = value if isinstance(value, bool | int | float) else _cut(str(value), _LONGEST_CLAIM)
    return chosen


def _cut_any(text: str | None) -> str | None:
    return None if text is None else _cut(text)


def _cut(text: str, most: int = _LONGEST) -> str:
    return text if len(text) <= most else f"{text[:most]}…"
