"""Guessing passwords is slowed, and nobody can use that to lock somebody else out.

* An account, from one network (/24, /64): after a few failures each further one doubles the wait until the next
  attempt (429). Only those who share the owner's network can make the owner wait, and not for long.
* An address (/64 for IPv6), over all accounts: so many failures, and a few more as time goes by (429).
* An account, over all networks: never refused. After many failures attempts are delayed by up to a few seconds.
* A network from which somebody has logged in to an account is exempt from the last two, for that account.

All spellings of a name that some backend may take for the same account are counted together. A success speaks for its
own spelling only: who has an account whose name looks like another's shall not clear the failures of that one.

An attempt counts as a failure until it is known not to be one, so many at once are no way around, and neither is
hanging up. Nothing here knows which accounts exist. Everything is in this process alone, bounded, and under keyed
fingerprints; what was not used for longest is forgotten first. N processes allow N times as much.
"""

import asyncio
import math
import secrets
import time
import unicodedata
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import blake2b
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Annotated, Self

from pydantic import Field, model_validator

from gateway.mechanisms.logins.base import Attempt, as_compared
from gateway.mechanisms.logins.remembered import Leaks, Recent
from gateway.model.errors import TooManyAttempts
from gateway.model.settings import Seconds, Settings

_Positive = Annotated[Seconds, Field(gt=0)]


class SlowingSettings(Settings):
    """How guessing of passwords is slowed. The numbers are for each process."""

    free_failures: Annotated[int, Field(ge=1, le=1000)] = 5
    """Failures of one account from one network (/24, /64 for IPv6) before it has to wait."""
    first_wait: _Positive = 1
    """The wait after the last of them. It doubles with each further failure."""
    longest_wait: _Positive = 300
    """The wait does not grow beyond this."""
    forget_after: _Positive = 3600
    """Without a failure for so long, an account begins anew in a network."""
    address_failures: Annotated[int, Field(ge=1, le=100_000)] = 50
    """Failures from one address (/64 for IPv6) over all accounts, before further attempts are refused."""
    address_recovery: _Positive = 6
    """After this time one of them is forgotten."""
    account_failures: Annotated[int, Field(ge=1, le=100_000)] = 20
    """Failures of one account from all networks before attempts are delayed. They are never refused for it."""
    account_recovery: _Positive = 30
    """After this time one of them is forgotten."""
    longest_delay: Annotated[Seconds, Field(le=30)] = 3
    """The delay of one attempt is at most this."""
    delayed: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Attempts that are delayed at the same time. One more, and the one that has waited for longest goes on."""
    remembered: Annotated[int, Field(ge=100, le=10_000_000)] = 50_000
    """Accounts and addresses that are remembered, of each kind. The one not used for longest is forgotten first."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.first_wait <= self.longest_wait <= self.forget_after:
            raise ValueError("first_wait must not exceed longest_wait, nor that forget_after")
        return self


@dataclass(frozen=True, slots=True)
class Ticket:
    """What one attempt was counted under. `counted` is false for an account from a network that is known to it.

    `pair` is the account and its network, `spelling` the same with the name as it was written.
    """

    pair: bytes
    spelling: bytes
    address: bytes
    account: bytes
    counted: bool


class Slowing:
    """Ask `before` each attempt; then tell if it `succeeded` or stays `undecided`. Say nothing, and it has failed."""

    def __init__(
        self,
        settings: SlowingSettings,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._monotonic = monotonic
        self._sleep = sleep
        self._key = secrets.token_bytes(32)
        self._pairs: Recent[_Failures] = Recent(settings.remembered)
        self._known: Recent[bool] = Recent(settings.remembered)
        # No more than what is refused, or makes the longest delay, is ever remembered: so it ends soon after.
        self._addresses = Leaks(settings.remembered, settings.address_recovery, settings.address_failures)
        self._accounts = Leaks(settings.remembered, settings.account_recovery, 2 * settings.account_failures)
        self._delayed: deque[asyncio.Future[None]] = deque()

    def adapt(self, settings: SlowingSettings) -> None:
        """Go by other settings from now on, and forget no failure."""
        self._settings = settings
        self._pairs.size = self._known.size = settings.remembered
        self._addresses.adapt(settings.remembered, settings.address_recovery, settings.address_failures)
        self._accounts.adapt(settings.remembered, settings.account_recovery, 2 * settings.account_failures)

    async def before(self, attempt: Attempt) -> Ticket:
        """Count the attempt as a failure, after a delay if need be. Raises TooManyAttempts; that counts nothing."""
        now = self._monotonic()
        ticket = self._ticket(attempt)
        failures = self._pairs.get(ticket.pair) or _Failures()
        if now - failures.last_at >= self._settings.forget_after:
            failures = _Failures()
        self._refuse_until(failures.last_at + self._wait(len(failures.spellings)), now)
        if ticket.counted:
            level = self._addresses.level(ticket.address, now) + 1 - self._settings.address_failures
            self._refuse_until(now + level * self._settings.address_recovery, now)
        self._pairs.put(ticket.pair, _Failures((*failures.spellings, ticket.spelling), now))
        if ticket.counted:
            delay = self._delay(self._accounts.level(ticket.account, now))
            self._addresses.add(ticket.address, 1, now)
            self._accounts.add(ticket.account, 1, now)
            if delay > 0:
                await self._hold(delay)
        return ticket

    def succeeded(self, ticket: Ticket) -> None:
        """The password was right: the account is clear in this network, and known there from now on."""
        if failures := self._pairs.get(ticket.pair):
            self._keep(ticket.pair, [each for each in failures.spellings if each != ticket.spelling], failures.last_at)
        self._known.put(ticket.spelling, True)
        self._uncount(ticket)

    def undecided(self, ticket: Ticket) -> None:
        """Nobody learnt whether the password is right, so nothing was guessed."""
        failures = self._pairs.get(ticket.pair)
        if failures is not None and ticket.spelling in failures.spellings:
            left = list(failures.spellings)
            left.remove(ticket.spelling)
            self._keep(ticket.pair, left, failures.last_at)
        self._uncount(ticket)

    def _keep(self, pair: bytes, left: list[bytes], last_at: float) -> None:
        if left:
            self._pairs.put(pair, _Failures(tuple(left), last_at))
        else:
            self._pairs.drop(pair)

    def _uncount(self, ticket: Ticket) -> None:
        if ticket.counted:
            now = self._monotonic()
            self._addresses.add(ticket.address, -1, now)
            self._accounts.add(ticket.account, -1, now)

    def _ticket(self, attempt: Attempt) -> Ticket:
        account = _folded(attempt.username)
        address, network = _places(attempt.address)
        spelling = self._fingerprint("spelling", as_compared(attempt.username), network)
        return Ticket(
            self._fingerprint("pair", account, network),
            spelling,
            self._fingerprint("address", address),
            self._fingerprint("account", account),
            counted=self._known.get(spelling) is None,
        )

    def _fingerprint(self, *parts: str) -> bytes:
        text = "\0".join(parts).encode("utf-8", "surrogatepass")
        return blake2b(text, digest_size=16, key=self._key).digest()

    def _wait(self, failures: int) -> float:
        beyond = failures - self._settings.free_failures
        if beyond < 0:
            return 0
        return min(self._settings.longest_wait, self._settings.first_wait * 2.0 ** min(beyond, 64))

    def _refuse_until(self, moment: float, now: float) -> None:
        if moment > now:
            raise TooManyAttempts("slowed down", retry_after=math.ceil(moment - now))

    def _delay(self, level: float) -> float:
        """Return the seconds: the longer the more failures there are, and the longest at twice the free ones."""
        free = self._settings.account_failures
        return self._settings.longest_delay * min(1.0, (level - free + 1) / free)

    async def _hold(self, delay: float) -> None:
        held = asyncio.ensure_future(self._sleep(delay))
        self._delayed.append(held)
        if len(self._delayed) > self._settings.delayed:
            self._delayed.popleft().cancel()
        try:
            await asyncio.wait({held})
        finally:
            held.cancel()
            if held in self._delayed:
                self._delayed.remove(held)


@dataclass(frozen=True, slots=True)
class _Failures:
    """Those of one account from one network: how the name was spelled in each."""

    spellings: tuple[bytes, ...] = ()
    last_at: float = -math.inf


def _folded(username: str) -> str:
    """Return one form for all spellings that some backend may take for the same account.

    Databases compare without case, and many without accents, invisible characters and spaces at the end.
    """
    letters = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", username).casefold())
    return "".join(char for char in letters if not _is_overlooked(char)).strip()


def _is_overlooked(char: str) -> bool:
    return unicodedata.combining(char) > 0 or unicodedata.category(char).startswith("C")


def _places(address: str) -> tuple[str, str]:
    """Return the address and its network, as they are counted. What is no address is one of its own."""
    try:
        ip: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    except ValueError:
        return address, address
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    if isinstance(ip, IPv4Address):
        return str(ip), str(ip_network((ip, 24), strict=False))
    network = str(ip_network((ip, 64), strict=False))
    return network, network
