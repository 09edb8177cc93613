"""The setting `state`: where sessions and revocations are kept."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from gateway.model.clock import Clock, unix_now
from gateway.model.notice import Notice
from gateway.model.settings import FilePath, Seconds, Settings
from gateway.state.base import RevocationFeed, SessionStore, State
from gateway.state.rate_counts import RateCounts
from gateway.state.revocations import RevocationView
from gateway.state.store_url import StoreUrl, read_url

if TYPE_CHECKING:
    from gateway.state.redis import RedisOptions


def _state_url(url: str) -> str:
    read_url(url)
    return url


_ONLY_REDIS = (
    "prefix",
    "shards",
    "wait_replicas",
    "username",
    "password",
    "password_file",
    "sentinel_username",
    "sentinel_password_file",
    "ca",
    "certificate",
    "key",
)


class StateSettings(Settings):
    """Where sessions and revocations are kept: SQLite for one host, Redis for several."""

    url: Annotated[str, AfterValidator(_state_url), Field(repr=False)]
    """The store: `sqlite:PATH` (relative to the configuration file), `redis://HOST:PORT/DB`, `redis+unix:///PATH?db=0`,
    `redis+sentinel://HOST,HOST/GROUP/DB` or `redis+cluster://HOST,HOST`. `rediss` in place of `redis` is TLS;
    `USER:PASSWORD@` may stand before the first host. Redis must be 6.2 or later, 7.0 for all guarantees, with
    `maxmemory-policy noeviction`."""
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,64}$")] = "gateway"
    """Redis: what all keys begin with. Gateways with the same prefix share everything."""
    shards: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Redis: into how many slots the keys are divided, a power of two; 16 on a cluster and otherwise 1 if not set. It
    cannot be changed later."""
    timeout: Annotated[Seconds, Field(ge=0.01, le=60)] | None = None
    """How long one call to the store may take: after that it counts as unavailable. 500ms with Redis and 2s with SQLite
    if not set."""
    wait_replicas: Annotated[int, Field(ge=0, le=10)] | Literal["auto"] = "auto"
    """Redis: how many replicas must have a login or a revocation before it counts as done. `auto`: 1 from when a
    replica was seen, otherwise 0."""
    username: str | None = None
    """Redis: the ACL user, if it is not in the URL."""
    password: Annotated[str | None, Field(min_length=1, repr=False)] = None
    """Redis: the password, if it is not in the URL. Write `${NAME}` to take it from the environment."""
    password_file: FilePath | None = None
    """Redis: a file with the password. It is read again for each new connection."""
    sentinel_username: str | None = None
    """Redis: the ACL user of the Sentinels themselves."""
    sentinel_password_file: FilePath | None = None
    """Redis: a file with the password of the Sentinels themselves."""
    ca: FilePath | None = None
    """Redis with TLS: the certificates of the authorities to trust, instead of the system's."""
    certificate: FilePath | None = None
    """Redis with TLS: the gateway's own certificate."""
    key: FilePath | None = None
    """Redis with TLS: the private key of `certificate`."""

    @property
    def place(self) -> StoreUrl:
        return read_url(self.url)

    def name(self, directory: Path) -> str:
        """Return what tells this store from all others; no secret."""
        place = self.place
        if place.kind == "sqlite":
            return f"sqlite {(directory / place.path).absolute()}"
        return f"{place.kind} {place.hosts} {place.path} {place.group} {place.db} {self.prefix}"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        place = self.place
        if place.kind == "sqlite" and (useless := [name for name in _ONLY_REDIS if name in self.model_fields_set]):
            raise ValueError(f"{', '.join(useless)}: only for Redis, and the url is that of SQLite")
        if not place.is_tls and (useless := [name for name in ("ca", "certificate", "key") if getattr(self, name)]):
            raise ValueError(f"{', '.join(useless)}: only for TLS; write rediss in the url")
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together")
        if self.shards is not None and self.shards & (self.shards - 1):
            raise ValueError("shards is a power of two: 1, 2, 4, … 1024")
        self._check_logins(place)
        return self

    def _check_logins(self, place: StoreUrl) -> None:
        if sum(each is not None for each in (place.password, self.password, self.password_file)) > 1:
            raise ValueError("the password is given more than once: in the url, in password or in password_file")
        if place.username is not None and self.username is not None:
            raise ValueError("the user is given twice: in the url and in username")
        has_password = (place.password, self.password, self.password_file) != (None, None, None)
        if (place.username or self.username) and not has_password:
            raise ValueError("there is a user without a password: set password_file")
        if place.kind != "sentinel" and (self.sentinel_username or self.sentinel_password_file):
            raise ValueError("sentinel_username and sentinel_password_file are only for redis+sentinel")
        if self.sentinel_username is not None and self.sentinel_password_file is None:
            raise ValueError("there is a sentinel_username without a sentinel_password_file")


def open_state(
    settings: StateSettings,
    directory: Path,
    notice: Notice = lambda event, fields: None,
    clock: Clock = unix_now,
) -> State:
    """Make what the settings say; relative paths start in `directory`. The caller opens and closes the store.

    Raises BadStore if files of TLS cannot be used. `notice` hears of what an operator should look at.
    """
    place = settings.place
    make = _sqlite if place.kind == "sqlite" else _redis
    store, feed, rates = make(settings, place, directory, notice, clock)
    return State(store, feed, RevocationView(clock=clock), rates)


def _sqlite(
    settings: StateSettings, place: StoreUrl, directory: Path, notice: Notice, clock: Clock
) -> tuple[SessionStore, RevocationFeed, RateCounts | None]:
    from gateway.state.sqlite import SqliteFeed, SqliteStore
    from gateway.state.sqlite_file import SqliteFile

    file = SqliteFile(directory / place.path, clock, deadline=settings.timeout or 2.0)
    return SqliteStore(file), SqliteFeed(file), None


def _redis(
    settings: StateSettings, place: StoreUrl, directory: Path, notice: Notice, clock: Clock
) -> tuple[SessionStore, RevocationFeed, RateCounts | None]:
    """Only who uses Redis waits for its library to load."""
    from gateway.state.redis import redis_state

    return redis_state(place, redis_options(settings, directory), notice)


def redis_options(settings: StateSettings, directory: Path) -> "RedisOptions":
    """Return how the settings say that a Redis is used; relative paths start in `directory`."""
    from gateway.state.redis import RedisLogin, RedisOptions, TlsFiles

    place = settings.place

    def at(file: Path | None) -> Path | None:
        return None if file is None else directory / file

    return RedisOptions(
        login=RedisLogin(
            place.username or settings.username, place.password or settings.password, at(settings.password_file)
        ),
        sentinel_login=RedisLogin(settings.sentinel_username, None, at(settings.sentinel_password_file)),
        tls=TlsFiles(at(settings.ca), at(settings.certificate), at(settings.key)),
        prefix=settings.prefix,
        shards=settings.shards,
        timeout=settings.timeout or 0.5,
        wait_replicas=settings.wait_replicas,
    )
