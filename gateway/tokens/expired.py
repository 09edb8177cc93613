"""Tokens that are authentic but expired: a client that goes on sending one costs no signature check each time."""

from gateway.tokens.verify import refuse_expired

_LONGEST = 4096


class ExpiredTokens:
    """Remembers a few tokens, until newer ones need the room. What it says of one stays true, as time does."""

    def __init__(self, max_entries: int) -> None:
        self._max_entries = max_entries
        self._entries: dict[str, tuple[float, str]] = {}
        """Token → its `exp`, and the thumbprint of the key that made it."""

    def __len__(self) -> int:
        return len(self._entries)

    def refuse(self, token: str, leeway: float, now: float) -> None:
        """Raise ExpiredToken if the token is known to be expired. `leeway` is in seconds, `now` Unix seconds."""
        entry = self._entries.get(token)
        if entry is not None:
            refuse_expired(entry[0], leeway, now)

    def remember(self, token: str, expires_at: float, verified_by: str) -> None:
        """Remember a token, its `exp`, and the thumbprint of the key that made it. A very long one is not worth it."""
        if len(token) > _LONGEST or self._max_entries < 1:
            return
        while len(self._entries) >= self._max_entries:
            del self._entries[next(iter(self._entries))]
        self._entries[token] = expires_at, verified_by

    def forget(self, thumbprints: frozenset[str]) -> None:
        """Drop every token that was made by one of these keys."""
        self._entries = {token: entry for token, entry in self._entries.items() if entry[1] not in thumbprints}
