"""The addresses of host names, looked up without ever keeping anybody waiting for another name.

The system's resolver blocks a thread for as long as its servers are silent. Threads that all look-ups share would be
used up by one dead name, so each name has its own, and one at most. What was found before serves while the resolver
is slow or away.
"""

import asyncio
import contextlib
import socket
import threading
from math import inf
from time import monotonic
from typing import Final

FRESH: Final = 5.0
"""Seconds for which an answer is used without asking again."""
PATIENCE: Final = 1.0
"""Seconds to wait for a newer answer where there is an old one."""
DOUBT: Final = 30.0
"""Seconds for which an address that could not be reached comes last."""

Answer = list[str] | OSError


class Names:
    """Knows the addresses of the host names of one upstream."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._known: dict[str, tuple[float, list[str]]] = {}
        self._look_ups: dict[str, tuple[float, asyncio.Future[Answer]]] = {}
        self._failed_at: dict[str, float] = {}

    async def addresses(self, host: str) -> list[str]:
        """Return the addresses of a host, those that were not reached last time at the end. Raises OSError."""
        if _is_address(host):
            return [host]
        found = await self._found(host)
        doubtful = monotonic() - DOUBT
        return sorted(found, key=lambda address: self._failed_at.get(address, -inf) > doubtful)

    def failed(self, address: str) -> None:
        """An address could not be reached."""
        doubtful = monotonic() - DOUBT
        self._failed_at = {each: at for each, at in self._failed_at.items() if at > doubtful}
        self._failed_at[address] = monotonic()

    async def _found(self, host: str) -> list[str]:
        known = self._known.get(host)
        if known is not None and monotonic() - known[0] < FRESH:
            return known[1]
        began_at, look_up = self._look_ups.get(host) or self._look_up(host)
        if known is not None:
            await asyncio.wait([look_up], timeout=max(0, began_at + PATIENCE - monotonic()))
            return self._known[host][1]
        answer = await asyncio.shield(look_up)
        if isinstance(answer, OSError):
            raise answer
        return answer

    def _look_up(self, host: str) -> tuple[float, asyncio.Future[Answer]]:
        look_up = self._look_ups[host] = monotonic(), self._loop.create_future()
        try:
            threading.Thread(target=self._ask, args=(host,), name=f"look-up of {host}", daemon=True).start()
        except RuntimeError as error:  # no more threads
            self._answered(host, OSError(str(error)))
        return look_up

    def _ask(self, host: str) -> None:
        """In a thread of its own, which nobody waits for at the end."""
        answer: Answer
        try:
            infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            answer = list(dict.fromkeys(str(info[4][0]) for info in infos))
        except OSError as error:
            answer = error
        except UnicodeError as error:  # a label that is too long
            answer = OSError(f"{host}: {error}")
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._answered, host, answer)

    def _answered(self, host: str, answer: Answer) -> None:
        if isinstance(answer, list):
            self._known[host] = monotonic(), answer
        elif host in self._known:
            self._known[host] = monotonic(), self._known[host][1]
        _, look_up = self._look_ups.pop(host)
        look_up.set_result(answer)


def _is_address(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):
            socket.inet_pton(family, host)
            return True
    return False
