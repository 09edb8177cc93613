"""Honest clients, and those that have logged out and whose tokens somebody still tries.

An honest client stores the refresh token before it first uses the access token. After a 503, a broken connection or an
answer that it never saw, it comes again with the same refresh token. Only a definite no logs it out. Some have parallel
tabs, that exchange at the same time; some lose answers.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

from bench.fleets import Tokens, calling, exchanging, logging_out, revoking
from bench.outages import Outages
from bench.wire import BROKEN, Answer, Connection

TABS = 0.03
"""How often an exchange is done by two tabs at once."""
LOSSES = 0.03
"""How often the answer of an exchange is lost."""
LEAVING = 0.06
"""How often a client logs out instead of sending a request."""
_TRIES = 0.6
"""Seconds between two tries of a revoked token, about."""


@dataclass(slots=True)
class Tally:
    """What has happened to all clients."""

    counts: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    exchanged_at: list[tuple[float, float]] = field(default_factory=list)
    """When exchanges that succeeded were sent and answered."""
    logged_out: list[str] = field(default_factory=list)
    """Honest clients that got a definite no: must stay empty."""
    accepted: list[str] = field(default_factory=list)
    """Revoked tokens that were accepted after the bound: must stay empty."""


@dataclass(slots=True)
class Client:
    """One session. `step` is called again and again; it never runs twice at a time."""

    number: int
    rng: random.Random
    tokens: Tokens
    tally: Tally
    outages: Outages
    state: Literal["honest", "leaving", "left", "lost"] = "honest"
    exchange_at: float = 0.0
    expires_at: float = 0.0
    left_at: float = 0.0
    history: list[str] = field(default_factory=list)
    """Its last exchanges, for the analysis of a failure."""

    def __post_init__(self) -> None:
        self._stored(self.tokens, time.monotonic())

    async def step(self, gateways: Sequence[Connection]) -> float | None:
        """Do one thing; return the seconds until the next, None after the last."""
        gateway = self.rng.choice(gateways)
        match self.state:
            case "honest" if time.monotonic() >= self.exchange_at:
                return await self._exchange_somehow(gateway, gateways)
            case "honest" if self.rng.random() < LEAVING:
                self.state = "leaving"
                return await self._leave(gateway)
            case "honest":
                return await self._call(gateway)
            case "leaving":
                return await self._leave(gateway)
            case "left":
                return await self._try_revoked(gateway)
            case "lost":
                return None

    # --- exchanges

    async def _exchange_somehow(self, gateway: Connection, gateways: Sequence[Connection]) -> float:
        chance = self.rng.random()
        if chance < LOSSES:
            self.tally.counts["answers lost"] += 1
            with suppress(*BROKEN):
                await gateway.hang_up_on(exchanging(self.tokens.refresh), self.rng.uniform(0.001, 0.05))
            return self.rng.uniform(0, 3)
        if chance < LOSSES + TABS:
            return await self._exchange_twice(gateways)
        return await self.exchange(gateway)

    async def _exchange_twice(self, gateways: Sequence[Connection]) -> float:
        self.tally.counts["exchanges by two tabs"] += 1
        old = self.tokens
        pauses = await asyncio.gather(*(self.exchange(gateway, old) for gateway in (gateways[0], gateways[-1])))
        return min(pauses)

    async def exchange(self, gateway: Connection, tokens: Tokens | None = None) -> float:
        """Exchange once; return the seconds until the client does something again."""
        old = self.tokens if tokens is None else tokens
        sent_at = time.monotonic()
        answer = await self._ask("exchange", gateway, exchanging(old.refresh))
        if answer is None or answer.status >= 500:
            return self.rng.uniform(0.3, 1.2)
        if answer.status != 200:
            self._definite_no(answer)
            return 0
        self.tally.exchanged_at.append((sent_at, time.monotonic()))
        fresh = Tokens.of(answer)
        if self.tokens is not old and self.tokens.refresh != fresh.refresh:
            self.tally.counts["tabs with different tokens"] += 1
        self._stored(fresh, sent_at)
        return self.rng.uniform(0, 0.5)

    def _stored(self, tokens: Tokens, sent_at: float) -> None:
        self.tokens = tokens
        self.expires_at = sent_at + tokens.expires_in
        self.exchange_at = sent_at + tokens.expires_in * self.rng.uniform(0.5, 1.1)

    def _definite_no(self, answer: Answer) -> None:
        self.state = "lost"
        self.tally.logged_out.append(f"client {self.number}: {answer.status} {answer.body!r}; {self.history[-8:]}")

    # --- requests

    async def _call(self, gateway: Connection) -> float:
        answer = await self._ask("request", gateway, calling(self.tokens.access))
        if answer is not None and answer.status == 401:
            if time.monotonic() < self.expires_at - 1:
                self.tally.counts["good access tokens refused"] += 1
            self.exchange_at = 0
            return 0
        if answer is not None and answer.status == 200:
            self.tally.counts["requests let through"] += 1
        left = self.exchange_at - time.monotonic()
        return self.rng.uniform(0.3, 1) * max(0.5, left)

    # --- leaving

    async def _leave(self, gateway: Connection) -> float:
        build, done = (logging_out, 204) if self.number % 4 else (revoking, 200)
        answer = await self._ask("revocation", gateway, build(self.tokens.refresh))
        if answer is None or answer.status != done:
            return self.rng.uniform(0.3, 1)
        self.state, self.left_at = "left", time.monotonic()
        self.tally.counts["sessions revoked"] += 1
        return 0

    async def _try_revoked(self, gateway: Connection) -> float | None:
        sent_at = time.monotonic()
        if sent_at > self.expires_at:
            return None
        answer = await self._ask("try", gateway, calling(self.tokens.access))
        is_due = sent_at > self.outages.known_from(self.left_at)
        if answer is not None and answer.status in (200, 401):
            outcome = "accepted" if answer.status == 200 else "refused"
            self.tally.counts[f"revoked tokens {outcome} {'after' if is_due else 'within'} the bound"] += 1
            if is_due and answer.status == 200:
                late = sent_at - self.left_at
                self.tally.accepted.append(f"client {self.number}: access token accepted {late:.1f} s after")
        return self.rng.uniform(0, 2 * _TRIES)

    # --- in the end

    async def audit(self, gateway: Connection) -> bool:
        """See that an honest client can go on and a revoked session cannot. Return False if nobody could say."""
        if self.state == "left":
            return await self._audit_revoked(gateway)
        if self.state == "honest":
            before = self.tokens
            await self.exchange(gateway)
            return self.tokens is not before or self.state != "honest"
        return True

    async def _audit_revoked(self, gateway: Connection) -> bool:
        answer = await self._ask("audit", gateway, exchanging(self.tokens.refresh))
        if answer is None or answer.status >= 500:
            return False
        if answer.status == 200:
            self.tally.accepted.append(f"client {self.number}: its revoked session gave new tokens; {self.history}")
        return True

    async def _ask(self, what: str, gateway: Connection, request: bytes) -> Answer | None:
        answer = None
        try:
            answer = await gateway.ask(request)
            word = str(answer.status)
        except BROKEN as error:
            word = "time-out" if isinstance(error, TimeoutError) else "connection broken"
        if answer is None or answer.status >= 500:
            self.tally.errors[f"{what}: {word}"] += 1
        if what != "request":
            self.history = [*self.history[-7:], f"{time.monotonic():.2f} {what} {word}"]
        return answer
