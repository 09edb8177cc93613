"""Sessions and revocations in Redis 6.2 or later (7.0 for all guarantees): one server, Sentinel, or Cluster."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from redis.credentials import CredentialProvider
from redis.exceptions import ConnectionError  # noqa: A004

from gateway.model.notice import Notice
from gateway.state.base import BadStore
from gateway.state.redis_feed import RedisFeed
from gateway.state.redis_link import Link
from gateway.state.redis_node import Dialling
from gateway.state.redis_places import Cluster, Place, SentinelGroup, Single
from gateway.state.redis_rates import RedisRates
from gateway.state.redis_store import RedisStore
from gateway.state.store_url import StoreUrl


@dataclass(frozen=True, slots=True)
class RedisLogin:
    """Who we are to a server. A file is read for each connection, so that a password can be changed while running."""

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    password_file: Path | None = None


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """`ca` replaces the authorities of the system; `certificate` and `key` are our own."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class RedisOptions:
    """How a Redis is used."""

    login: RedisLogin = RedisLogin()
    sentinel_login: RedisLogin = RedisLogin()
    tls: TlsFiles = TlsFiles()
    prefix: str = "gateway"
    shards: int | None = None
    timeout: float = 0.5
    wait_replicas: int | Literal["auto"] = "auto"


def redis_state(url: StoreUrl, options: RedisOptions, notice: Notice) -> tuple[RedisStore, RedisFeed, RedisRates]:
    """Return a store, a feed and counts of rate limits, not opened yet.

    Raises BadStore for files of TLS that cannot be used.
    """
    link = redis_link(url, options, notice)
    return RedisStore(link), RedisFeed(link), RedisRates(link)


def redis_link(url: StoreUrl, options: RedisOptions, notice: Notice) -> Link:
    """Return the way to the servers, not gone yet. Raises BadStore for files of TLS that cannot be used."""
    tls = _tls(options.tls) if url.is_tls else None
    return Link(
        _place(url, options, tls),
        prefix=options.prefix,
        timeout=options.timeout,
        shards=options.shards,
        wait_replicas=options.wait_replicas,
        notice=notice,
    )


def _place(url: StoreUrl, options: RedisOptions, tls: ssl.SSLContext | None) -> Place:
    dialling = Dialling(options.timeout, _credentials(options.login), tls, url.db)
    if url.kind == "cluster":
        return Cluster(url.hosts, dialling)
    if url.kind == "sentinel":
        asking = Dialling(options.timeout, _credentials(options.sentinel_login), tls)
        return SentinelGroup(url.group, url.hosts, asking, dialling)
    return Single(url.hosts[0] if url.hosts else url.path, dialling)


def _tls(files: TlsFiles) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=files.ca)
        if files.certificate is not None:
            context.load_cert_chain(files.certificate, files.key)
    except OSError as error:
        raise BadStore(f"the TLS files of state cannot be used: {error}") from error
    return context


def _credentials(login: RedisLogin) -> CredentialProvider | None:
    return None if login == RedisLogin() else _Credentials(login)


class _Credentials(CredentialProvider):
    def __init__(self, login: RedisLogin) -> None:
        self._login = login

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        login = self._login
        password = login.password or ""
        if login.password_file is not None:
            try:
                password = login.password_file.read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                raise ConnectionError(f"the password file {login.password_file.name} cannot be read") from error
        return (password,) if login.username is None else (login.username, password)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        return self.get_credentials()
