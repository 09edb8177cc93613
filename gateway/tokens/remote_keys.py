"""The keys an issuer publishes, kept fresh.

One fetch at a time, shared by all who wait. In the background every `refresh_interval`, with growing pauses after
failures; on demand when a token names a key that is not known, but not within `cooldown` of the last fetch, whoever
asked for it. The last good keys serve while the issuer is down, up to `max_stale`. An unknown key is refused (401) only
if the last fetch succeeded; if it failed, the issuer may have rotated unseen, so nobody can say (503).
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from gateway.model.clock import Clock
from gateway.model.decision import Pending
from gateway.model.errors import KeysUnavailable, UnknownKey
from gateway.model.notice import Notice
from gateway.tokens.key_documents import BadKey, KeyRules, read_jwks
from gateway.tokens.keys import Key, KeySet
from gateway.tokens.strict_json import NotStrictJson, read_object

MAX_DOCUMENT = 256 * 1024
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0

Fetch = Callable[[str, int], Awaitable[bytes]]
"""Get the body behind a URL, of at most so many bytes. Raises SourceFailed."""


class SourceFailed(Exception):
    """The issuer's keys could not be fetched."""


class Location(Protocol):
    async def jwks_uri(self, fetch: Fetch) -> str:
        """Return where the key set is. Raises SourceFailed."""


@dataclass(frozen=True, slots=True)
class FixedLocation:
    """A key set at a known address."""

    uri: str

    async def jwks_uri(self, fetch: Fetch) -> str:
        return self.uri


@dataclass(frozen=True, slots=True)
class Discovery:
    """A key set that the issuer's metadata names (OpenID Connect Discovery §4)."""

    issuer: str
    allow_http: bool = False

    async def jwks_uri(self, fetch: Fetch) -> str:
        url = self.issuer.removesuffix("/") + "/.well-known/openid-configuration"
        try:
            metadata = read_object(await fetch(url, MAX_DOCUMENT))
        except NotStrictJson as error:
            raise SourceFailed(f"{url} is not strict JSON: {error}") from error
        if metadata.get("issuer") != self.issuer:
            raise SourceFailed(f"{url} is the metadata of another issuer")
        uri = metadata.get("jwks_uri")
        if type(uri) is not str or not uri.startswith(("https://", "http://") if self.allow_http else "https://"):
            raise SourceFailed(f"{url} has no https jwks_uri")
        return uri


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. A `cooldown` of 0 would let every junk token cause a fetch."""

    refresh_interval: float = 600
    cooldown: float = 30
    max_stale: float = 86400


class RemoteKeys:
    """A KeySource whose keys come from an issuer. Run `keep_fresh` for as long as it is used.

    `forget` is called with the thumbprints of keys that the issuer withdrew. `notice` hears of each fetch.
    `fetches` counts them by result; `fetched_at` is the time of the last good one, in Unix seconds.
    """

    def __init__(
        self,
        location: Location,
        fetch: Fetch,
        clock: Clock,
        *,
        rules: KeyRules,
        timing: Timing,
        forget: Callable[[frozenset[str]], None],
        notice: Notice,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.fetches = {"ok": 0, "failed": 0}
        self.fetched_at: float | None = None
        self._location = location
        self._fetch = fetch
        self._clock = clock
        self._rules = rules
        self._timing = timing
        self._forget = forget
        self._notice = notice
        self._sleep = sleep
        self._keys = KeySet()
        self._tried_at = float("-inf")
        self._last_failed = True
        self._flight: asyncio.Task[None] | None = None

    @property
    def keys(self) -> tuple[Key, ...]:
        """The last good keys, however old."""
        return self._keys.keys

    def inherit(self, other: "RemoteKeys") -> None:
        """Begin with what another one knows, if its keys come from the same place and are read by the same rules."""
        if (self._location, self._rules) == (other._location, other._rules):
            self._keys, self.fetched_at = other._keys, other.fetched_at
            self._tried_at, self._last_failed = other._tried_at, other._last_failed

    def lookup(self, kid: str | None, alg: str, now: float) -> tuple[Key, ...] | Pending:
        """Return the keys that may have signed such a token; Pending if a fetch may tell.

        Raises UnknownKey, WrongAlgorithm, or KeysUnavailable. Whoever asks about a time to come gets today's answer.
        """
        now = min(now, self._clock())
        usable = self.fetched_at is not None and now - self.fetched_at < self._timing.max_stale
        if usable and (found := self._keys.candidates(kid, alg)):
            return found
        if self._may_tell(now):
            return Pending(self._wait_for_news)
        if not usable or self._last_failed:
            raise KeysUnavailable("the last fetch of the issuer's keys failed")
        raise UnknownKey(f"the issuer has no key that fits this kid and alg {alg!r}")

    async def _wait_for_news(self) -> None:
        """Wait for a fetch, unless one has ended since the look-up: then ask again, within the cool-down."""
        if self._may_tell(self._clock()):
            await self.refresh()

    def _may_tell(self, now: float) -> bool:
        return self._is_fetching() or now - self._tried_at >= self._timing.cooldown

    async def refresh(self) -> None:
        """Fetch the keys, or wait for the fetch that is under way. Never raises.

        A waiter that is cancelled does not stop the others.
        """
        await asyncio.wait([self._fetching()])

    async def keep_fresh(self) -> None:
        """Fetch the keys again and again, until cancelled. Ends only by a bug, which it raises."""
        failures = 0
        while True:
            fetching = self._fetching()
            await asyncio.wait([fetching])
            fetching.result()
            failures = failures + 1 if self._last_failed else 0
            await self._sleep(self._pause(failures))

    def _is_fetching(self) -> bool:
        return self._flight is not None and not self._flight.done()

    def _fetching(self) -> asyncio.Task[None]:
        if self._flight is None or self._flight.done():
            self._flight = asyncio.create_task(self._refresh())
        return self._flight

    def _pause(self, failures: int) -> float:
        """Return the seconds to the next fetch, give or take a tenth, so that many gateways do not come at once."""
        pause = self._timing.refresh_interval
        if failures:
            pause = min(pause, LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(failures - 1, 10))
        return pause * random.uniform(0.9, 1.1)  # noqa: S311 (spreading load is no secret)

    async def _refresh(self) -> None:
        self._tried_at = self._clock()
        self._last_failed = True
        try:
            uri = await self._location.jwks_uri(self._fetch)
            keys, problems = read_jwks(await self._fetch(uri, MAX_DOCUMENT), self._rules)
        except (SourceFailed, BadKey) as error:
            self.fetches["failed"] += 1
            self._notice("keys_fetch_failed", {"error": str(error)})
        else:
            self._last_failed = False
            self._install(keys, problems)

    def _install(self, keys: KeySet, problems: tuple[str, ...]) -> None:
        withdrawn = self._keys.thumbprints - keys.thumbprints
        self._keys = keys
        self.fetched_at = self._clock()
        self.fetches["ok"] += 1
        if withdrawn:
            self._forget(withdrawn)
        self._notice("keys_fetched", {"keys": len(keys.keys), "withdrawn": len(withdrawn), "skipped": list(problems)})
