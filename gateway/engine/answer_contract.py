"""What only the gateway tells a client: an upstream's answer carries none of the headers and cookies of new tokens.

Whoever could set them could put a session of its own in place of the client's.
"""

from collections.abc import Iterable
from typing import Final

from gateway.engine.headers import cookie_spelled, spelled
from gateway.mechanisms.base import Credentials

_SET_COOKIE: Final = b"set-cookie"


class AnswerContract:
    """Compiled once from the configuration. `owned` are the names of headers to look at, as `spelled` gives them."""

    def __init__(self, names: Iterable[str] = (), own: Iterable[Credentials] = ()) -> None:
        """`names` are the headers of new tokens, `own` names the cookies of tokens."""
        self._cookies = frozenset(cookie_spelled(name) for each in own for name in each.cookies)
        headers = {spelled(name.encode()) for name in names}
        self.owned = frozenset(headers | {_SET_COOKIE} if self._cookies else headers)

    def keeps(self, kind: bytes, value: bytes) -> bool:
        """Say whether a client gets an upstream's header whose name, `kind`, is owned: a cookie of its own."""
        if kind != _SET_COOKIE:
            return False
        pair = value.partition(b";")[0].lstrip(b"= \t")
        return cookie_spelled(pair.partition(b"=")[0]) not in self._cookies
