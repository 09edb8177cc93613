"""The four contracts of the replaceable parts. Read this file first.

A TokenSource sees the request and finds a token. An Authenticator sees only the token, so what it remembers is true
on every route. A Policy and a Mutator see only the principal. Sources, policies and mutators are pure: no I/O, no
clock but the `now` they are given. A part that needs no resources is its own settings model; one that does (keys,
files, a clock) has settings with `build(Resources)`. Logins have a contract of their own: `logins/base.py`.
"""

from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from gateway.mechanisms.files import Files, is_plain
from gateway.model.clock import Clock, unix_now
from gateway.model.decision import Pending
from gateway.model.notice import Notice
from gateway.model.principal import ClaimPath, Principal
from gateway.model.request import InboundRequest
from gateway.model.session import SessionEvent
from gateway.model.tally import RouteTally
from gateway.state.base import State
from gateway.state.rate_table import RateTable
from gateway.tokens.own_keys import OwnKeys
from gateway.tokens.verify import Expectations


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a token source reads, and what therefore never reaches an upstream that should not see it. Lower case."""

    headers: frozenset[bytes] = frozenset()
    cookies: frozenset[bytes] = frozenset()
    subprotocol_prefixes: frozenset[bytes] = frozenset()


class TokenSource(Protocol):
    @property
    def place(self) -> str:
        """Where it looks, in words for the log and `gateway explain`: `cookie session`."""

    @property
    def credentials(self) -> Credentials: ...

    def find(self, request: InboundRequest) -> str | None:
        """Return the token, or None if there is none here.

        Raises a refusal when it is malformed or came from another site.
        """


class Authenticator(Protocol):
    @property
    def name(self) -> str: ...

    def recall(self, token: str) -> Principal | None:
        """Return the principal of a token verified before, at the cost of a look-up. The caller checks expiry."""

    def accepts(self, token: str) -> bool:
        """Say whether this unverified token names this authenticator's issuer. Never raises."""

    def authenticate(self, token: str, now: float) -> Principal | Pending:
        """Verify a token at `now` (Unix seconds); Pending when keys must be fetched first.

        Raises InvalidToken or Unavailable.
        """

    def prove(self, token: str, now: float) -> Principal | Pending:
        """Do the same for a token that no client has shown: it is not remembered, and was not seen in use."""


class Policy(Protocol):
    @property
    def words(self) -> str:
        """What is required, in as few words as possible: for people who read `gateway check` or `gateway explain`."""

    @property
    def claims(self) -> tuple[ClaimPath, ...]:
        """The claims that the policy looks at, beside `scope`."""

    def check(self, principal: Principal, now: float) -> None:
        """Raise a refusal unless the principal fulfils the policy."""


class HeaderEdits(NamedTuple):
    """Headers to set, in order; a name may repeat. Values are header-safe ASCII.

    Good until `usable_until` (Unix seconds).
    """

    headers: tuple[tuple[str, str], ...]
    usable_until: float = float("inf")


class Mutator(Protocol):
    @property
    def owned(self) -> frozenset[str]:
        """The header names this mutator may set: nobody but the gateway may send them to an upstream."""

    def edit(self, principal: Principal, now: float) -> HeaderEdits:
        """Return the headers that tell the upstream who is calling. An absent claim is an absent header."""


Fetch = Callable[[str, int], Awaitable[bytes]]
"""Get the body behind a URL, of at most so many bytes. Raises FetchFailed."""


Job = Callable[[], Coroutine[Any, Any, None]]
"""Work in the background, until it is cancelled."""


class FetchFailed(Exception):
    """A control call failed: unreachable, too slow, too large, redirected elsewhere, or not 200."""


class BadSetting(Exception):
    """A setting that cannot be built: an unreadable file, a weak key.

    `path` leads to it from the part's own settings.
    """

    def __init__(self, message: str, path: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.path = path


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a `Post`, whatever its status."""

    status: int
    retry_after: str | None
    body: bytes = field(repr=False)


class Post(Protocol):
    async def __call__(
        self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float, max_bytes: int
    ) -> Answer:
        """Send `body` once and return the answer, of at most `max_bytes` when decompressed. Raises FetchFailed."""


async def no_post(url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float, max_bytes: int) -> Answer:
    """Is a Post for those who must not send anything."""
    raise FetchFailed("no network call is made here")


@dataclass(frozen=True, slots=True)
class OwnTokens:
    """The gateway's own access tokens: what verifies them, and what they look like.

    `seen` is told of the session id and generation of each when it is verified for the first time in this process.
    """

    keys: OwnKeys
    expect: Expectations
    seen: Callable[[str, int], None]


@dataclass(slots=True)
class Resources:
    """What parts are built with.

    `notice` reports what an operator should hear of (event name, fields): the parts themselves write no log.
    `insecure` and `own` are of one configuration: whoever compiles it sets them. `own` is None without sessions.
    """

    directory: Path
    """Relative file names in the settings start here."""
    fetch: Fetch
    clock: Clock
    notice: Notice
    post: Post = no_post
    insecure: frozenset[str] = frozenset()
    """Weaknesses that the configuration accepts by name."""
    own: OwnTokens | None = None
    state: State | None = None
    """What outlives a request; None where nothing shall be asked, as in `gateway check`."""
    rates: RateTable | None = None
    """What counts requests for rate limits; None where nothing shall be counted, as in `gateway explain`."""
    record: Callable[[SessionEvent], None] = lambda event: None
    """Is told what becomes of sessions."""
    seen: Callable[[str, int], None] = lambda sid, generation: None
    """Is told the session and generation of each access token of our own at its first use."""
    tally: Callable[[str], RouteTally] = lambda route: RouteTally()
    """Gives what counts the requests of a route: for the same name always the same."""
    files: Files = field(default_factory=Files)

    def read(self, file: Path, *path: str | int) -> bytes:
        """Return the content of a file named in the settings. Raises BadSetting."""
        try:
            return self.files.read(self.directory / file)
        except OSError as error:
            raise BadSetting(f"cannot read {file}: {error.strerror}", path) from error

    @contextmanager
    def steady(self, *files: Path) -> Iterator[None]:
        """Inside, files may be used by name. Raises BadSetting for one that cannot be read, or changes meanwhile."""
        for file in files:
            self.read(file)
            if not is_plain(self.directory / file):
                raise BadSetting(f"{file} is no plain file, and cannot be read twice")
        yield
        for file in files:
            if self.files.has_changed(self.directory / file):
                raise BadSetting(f"{file} has changed while it was read")


def offline_resources(directory: Path) -> Resources:
    """Return resources for building parts that will not run: they make no network call and report nothing."""

    async def no_fetch(url: str, max_bytes: int) -> bytes:
        raise FetchFailed("no network call is made here")

    return Resources(directory, no_fetch, unix_now, lambda event, fields: None)
