"""Real gateway processes over real stores, and what a client asks of their sessions."""

import asyncio
import hashlib
import subprocess
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from bench.processes import BenchError, free_ports
from bench.relay import relay_running
from bench.wire import Answer, Connection, FixedAnswer, get, post_form, post_json, start_upstream
from tests.clients.processes import SECRET, Fleet, GatewayProcess, fleet, make_house, sessions
from tests.state.redis_servers import RedisServer, SentinelGroup, server_of, start_sentinel_group

SQLITE_FILE: Final = "state/gateway.db"
PATH: Final = "/api/orders"
CLIENT: Final = "web"

_ATTEMPTS: Final = 20
_ISSUER: Final = "https://gw.example"
_BASIC: Final = "Authorization: Basic " + b64encode(f"backend:{SECRET}".encode()).decode()
_CLAIMS: Final = {"email": "alice@example.com", "roles": ["reader", "writer"], "tenant": "acme"}


@dataclass(frozen=True, slots=True)
class Store:
    """Where the gateways of a fleet keep their state. `server` is None for SQLite."""

    name: str
    url: str
    server: RedisServer | None = None
    group: SentinelGroup | None = None
    relay: "subprocess.Popen[bytes] | None" = None


SQLITE: Final = Store("SQLite", f"sqlite:{SQLITE_FILE}")


@contextmanager
def redis_store(name: str, directory: Path, **options: str) -> Iterator[Store]:
    """Run a redis-server of one's own. In the names of options `_` stands for `-`."""
    with server_of(directory, **options) as server:
        yield Store(name, f"redis://127.0.0.1:{server.port}", server)


@contextmanager
def sentinel_store(directory: Path, options: dict[str, str]) -> Iterator[Store]:
    """Run a primary, two replicas and three Sentinels. The primary is behind a relay, and known by its address only."""
    port, hidden = free_ports(2)
    with relay_running(port, hidden) as relay:
        group = start_sentinel_group(directory, options, {"port": str(hidden)}, port=port)
        try:
            yield Store("Redis Sentinel", group.url, group=group, relay=relay)
        finally:
            group.stop()


def house_in(directory: Path) -> Path:
    """Make keys and users, once for a run."""
    make_house(directory / "house")
    return directory / "house"


@asynccontextmanager
async def fleet_over(
    store: Store,
    directory: Path,
    house: Path,
    protocol: Callable[[], asyncio.Protocol] = FixedAnswer,
    **changes: Any,
) -> AsyncIterator[Fleet]:
    """Give a fleet without gateways, and an upstream that speaks a protocol. `changes` are settings of `sessions` or
    top-level sections."""
    server, upstream = await start_upstream(protocol)
    own: dict[str, Any] = {name: changes.pop(name) for name in ("access", "exchange") if name in changes}
    settings = {
        "log": {"level": "warning", "access": False},
        "sessions": {**sessions(_ISSUER), **own},
        **changes,
    }
    try:
        with fleet(directory, house, {"url": store.url}, upstream, issuer=_ISSUER, changes=settings) as ships:
            yield ships
    finally:
        server.close()


def port_of(gateway: GatewayProcess) -> int:
    """Return where a gateway listens."""
    port = urlsplit(gateway.url).port
    assert port is not None
    return port


@dataclass(slots=True)
class Tokens:
    """The pair that a client has."""

    access: str
    refresh: str
    expires_in: int

    @classmethod
    def of(cls, answer: Answer) -> "Tokens":
        told = answer.json()
        return cls(told["access_token"], told["refresh_token"], told["expires_in"])


def opening(subject: str) -> bytes:
    """Return a backend's request for a session of a user: what a login costs without the hash of the password."""
    document = {"sub": subject, "client_id": CLIENT, "claims": _CLAIMS, "device": "a phone", "address": "192.0.2.7"}
    return post_json("/auth/sessions", document, _BASIC)


def exchanging(refresh_token: str) -> bytes:
    """Return a request for the next pair."""
    fields = {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": CLIENT}
    return post_form("/oauth/token", fields)


def logging_out(refresh_token: str) -> bytes:
    """Return a request to end the session; it is answered with 204."""
    return post_json("/auth/logout", {"refresh_token": refresh_token})


def revoking(refresh_token: str) -> bytes:
    """Return a request to revoke the session at the revocation endpoint; it is answered with 200."""
    return post_form("/oauth/revoke", {"token": refresh_token, "client_id": CLIENT})


def calling(access_token: str) -> bytes:
    """Return a request to the upstream."""
    return get(PATH, access_token)


async def opened(connection: Connection, subject: str) -> Tokens:
    """Open a session; a store that is busy is asked again."""
    for _ in range(_ATTEMPTS):
        if (answer := await connection.ask(opening(subject))).status == 201:
            return Tokens.of(answer)
    raise BenchError(f"a login was answered with {answer.status}")


def digest_of(name: str, seed: int) -> bytes:
    """Return 16 bytes that are always the same."""
    return hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=16).digest()
