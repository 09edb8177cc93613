"""Tokens verified before, and whom they prove."""

from collections import OrderedDict
from heapq import heapify, heappop, heappush

from gateway.model.principal import Principal
from gateway.tokens.expired import ExpiredTokens

_EXPIRED = 1000
"""Expired tokens that are remembered beside the good ones."""


class TokenCache:
    """Token → Principal, bounded by entries and by the total length of the tokens.

    Expired entries leave first, then the oldest. `get` may still return an expired one: the caller checks expiry.
    `hits` and `misses` count the look-ups. `expired` holds, apart from these tokens, some that were verified too late.
    """

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self.expired = ExpiredTokens(min(max_entries, _EXPIRED))
        self.hits = self.misses = 0
        self._bytes = 0
        self._entries: OrderedDict[str, Principal] = OrderedDict()
        self._expiries: list[tuple[float, str]] = []
        """A heap. A token that left early stays in it until its time comes, or until such tokens are too many."""

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, token: str) -> Principal | None:
        principal = self._entries.get(token)
        if principal is None:
            self.misses += 1
        else:
            self.hits += 1
        return principal

    def put(self, token: str, principal: Principal, now: float) -> None:
        """Remember a principal until it expires or must make room. `now` is Unix seconds."""
        if self._expiries and self._expiries[0][0] <= now:
            self._drop_expired(now)
        if token in self._entries:
            self._drop(token)
        if len(token) > self._max_bytes or self._max_entries < 1:
            return
        while len(self._entries) >= self._max_entries or self._bytes + len(token) > self._max_bytes:
            self._drop(next(iter(self._entries)))
        self._entries[token] = principal
        self._bytes += len(token)
        heappush(self._expiries, (principal.usable_until, token))
        if len(self._expiries) > 2 * len(self._entries) + 64:
            self._rebuild_expiries()

    def forget(self, thumbprints: frozenset[str]) -> None:
        """Drop every principal that was verified by one of these keys."""
        for token in [token for token, principal in self._entries.items() if principal.verified_by in thumbprints]:
            self._drop(token)
        self.expired.forget(thumbprints)

    def _drop_expired(self, now: float) -> None:
        while self._expiries and self._expiries[0][0] <= now:
            token = heappop(self._expiries)[1]
            if (principal := self._entries.get(token)) and principal.usable_until <= now:
                self._drop(token)

    def _drop(self, token: str) -> None:
        del self._entries[token]
        self._bytes -= len(token)

    def _rebuild_expiries(self) -> None:
        self._expiries = [(principal.usable_until, token) for token, principal in self._entries.items()]
        heapify(self._expiries)
