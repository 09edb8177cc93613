"""A limit on refresh tokens that were never issued. One that verifies is never held up by it."""

import math
from collections import OrderedDict
from ipaddress import IPv6Address, ip_address

from gateway.model.clock import Clock
from gateway.model.errors import TooManyAttempts

_MOST_ADDRESSES = 10_000


class JunkLimit:
    """A bucket for each client address: `per_minute` at once, and so many more every minute."""

    def __init__(self, per_minute: int, clock: Clock) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def count(self, address: str) -> None:
        """Count one from this address. Raises TooManyAttempts."""
        now, name, pause = self._clock(), _block(address), 60 / self.per_minute
        full_at = max(now, self._full_at.get(name, now))
        wait = full_at + pause - now - 60
        if wait > 1e-6:
            raise TooManyAttempts("too many refresh tokens that were never issued", retry_after=max(1, math.ceil(wait)))
        self._full_at[name] = full_at + pause
        self._full_at.move_to_end(name)
        while len(self._full_at) > _MOST_ADDRESSES:
            self._full_at.popitem(last=False)


def _block(address: str) -> str:
    """Return what one household has: an IPv4 address, or the first half of an IPv6 address."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        return str(parsed.ipv4_mapped or parsed.exploded[:19])
    return str(parsed)
