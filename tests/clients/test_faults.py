"""What a gateway depends on is killed, frozen, slowed, cut in the middle of an answer and filled, under load.

`docs/reliability.md` promises what happens then; each row there names its test here.
"""

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import aiohttp
import pytest

from tests.clients.asking import Tokens, client, end_subject, eventually, exchange, is_refused, log_out, status_of
from tests.clients.echo import echo_running
from tests.clients.faulty import Fault, Faults, relays_running
from tests.clients.load import Load
from tests.clients.processes import AUDIENCE, Fleet, GatewayProcess, fleet, opened, sessions
from tests.minting import access_claims, jwks, make_key
from tests.state.redis_servers import RedisServer, server_of

PARTNER = "https://partner.example"
ALARM_SECRET = "a secret of alarms, and of more than 32 characters"
TIMEOUT = 1.0
"""Of the store. What is frozen counts as away after it."""
QUICK = {"connect": 1, "first_byte": 1, "idle": 2}


@dataclass
class Others:
    """An issuer's key set, a login backend and a webhook, in one server."""

    keys: bytes = jwks(make_key("ES256", "known"))
    alarms: list[dict[str, Any]] = field(default_factory=list)
    is_endless: bool = False
    """Answers never end."""


@dataclass
class Town:
    """A gateway, and what it depends on."""

    ships: Fleet
    gateway: GatewayProcess
    redis: RedisServer
    others: Others
    to_redis: Faults
    to_others: Faults
    to_upstream: Faults
    load: Load

    @property
    def url(self) -> str:
        return self.gateway.url


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory, house: Path) -> Iterator[Town]:
    directory = tmp_path_factory.mktemp("town")
    with (
        server_of(directory / "redis", appendonly="yes", appendfsync="always") as redis,
        others_running() as (others, port),
        echo_running() as upstream,
        echo_running() as second,
        relays_running(redis.port, port, int(upstream.rpartition(":")[2])) as (to_redis, to_others, to_upstream),
        fleet(
            directory / "fleet", house, {"url": f"redis://127.0.0.1:{to_redis.port}", "timeout": TIMEOUT}, upstream
        ) as ships,
    ):
        (ships.directory / "alarm-secret").write_text(ALARM_SECRET)
        gateway = ships.start(**_settings(f"http://127.0.0.1:{to_others.port}", to_upstream.port, second))
        tokens: Tokens = opened(gateway.url)
        paths = {"/api/x": tokens["access_token"], "/other/x": tokens["access_token"], "/partner/x": partner_token()}
        with Load(int(gateway.url.rpartition(":")[2]), paths).running() as load:
            for path in paths:
                load.until(path, 200)
            yield Town(ships, gateway, redis, others, to_redis, to_others, to_upstream, load)


def _settings(others: str, upstream: int, second: str) -> dict[str, Any]:
    own, partner = {"authenticators": ["own"]}, {"authenticators": ["partner"]}
    login = {"backend": {"url": f"{others}/login", "subject": "id", "timeout": 1}}
    return {
        "sessions": {
            **sessions("https://gw.example"),
            "login": login,
            "alarm": {"url": f"{others}/alarm", "secret_file": "alarm-secret"},
        },
        "insecure": ["http_issuer"],
        "fetch": {"timeout": 1},
        "authenticators": {
            "own": {"type": "issued"},
            "partner": {
                "type": "jwt",
                "issuer": PARTNER,
                "audiences": [AUDIENCE],
                "jwks_uri": f"{others}/keys",
                "cooldown": 1,
            },
        },
        "upstreams": {
            "app": {"targets": [f"http://127.0.0.1:{upstream}"], "timeouts": QUICK},
            "second": {"targets": [second]},
        },
        "routes": [
            {"id": "api", "match": {"path": "/api/**"}, "upstream": "app", **own},
            {"id": "other", "match": {"path": "/other/**"}, "upstream": "second", **own},
            {"id": "partner", "match": {"path": "/partner/**"}, "upstream": "second", **partner},
        ],
    }


class _Handler(BaseHTTPRequestHandler):
    others: Others

    def do_GET(self) -> None:
        self._answer(self.others.keys)

    def do_POST(self) -> None:
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/alarm":
            self.others.alarms.append(told)
        self._answer(b'{"id": "alice"}')

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        if not self.others.is_endless:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        while self.others.is_endless:
            self.wfile.write(b" " * 65536)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections are broken on purpose."""


@contextmanager
def others_running() -> Iterator[tuple[Others, int]]:
    others = Others()
    handler = type("_Handler", (_Handler,), {"others": others})
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield others, server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def partner_token(kid: str = "known", **changes: Any) -> str:
    claims = access_claims(time.time(), iss=PARTNER, **changes)
    return make_key("ES256", kid).sign(claims, kid=kid)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with client() as session:
        yield session


# --- the store: Redis


@contextmanager
def killed(town: Town) -> Iterator[None]:
    town.redis.kill()
    try:
        yield
    finally:
        town.redis.start()


@contextmanager
def frozen(town: Town) -> Iterator[None]:
    town.redis.pause()
    try:
        yield
    finally:
        town.redis.resume()


@contextmanager
def full(town: Town) -> Iterator[None]:
    town.redis.run("CONFIG", "SET", "maxmemory", 1)
    try:
        yield
    finally:
        town.redis.run("CONFIG", "SET", "maxmemory", 0)


@pytest.mark.parametrize("away", [killed, frozen, full])
async def test_redis_is_away(
    town: Town, http: aiohttp.ClientSession, away: Callable[[Town], AbstractContextManager[None]]
) -> None:
    """C100"""
    tokens, leaving = [await asyncio.to_thread(opened, town.url) for _ in range(2)]
    assert await status_of(http, town.gateway, leaving) == 200
    with away(town):
        assert await _exchange(http, town, tokens) == 503
        assert await _log_in(http, town) == 503
        assert await log_out(http, town.gateway, leaving) == 503
        assert await status_of(http, town.gateway, leaving) == 401
        assert await asyncio.to_thread(town.load.next, "/api/x") == {200}
        assert town.gateway.readiness() == 200
    await eventually(lambda: _is_exchanged(http, town, tokens))
    await eventually(lambda: is_refused(http, town.gateway, leaving["refresh_token"]))


async def test_redis_is_slow(town: Town, http: aiohttp.ClientSession) -> None:
    tokens = await asyncio.to_thread(opened, town.url)
    with town.to_redis.of("slow"):
        assert await _exchange(http, town, tokens) == 200
        assert await asyncio.to_thread(town.load.next, "/api/x") == {200}


async def test_redis_is_cut(town: Town, http: aiohttp.ClientSession) -> None:
    tokens = await asyncio.to_thread(opened, town.url)
    with town.to_redis.of("cut"):
        assert await _exchange(http, town, tokens) == 503
        assert await asyncio.to_thread(town.load.next, "/api/x") == {200}
    await eventually(lambda: _is_exchanged(http, town, tokens))


# --- the store: SQLite


@dataclass
class Village:
    """A gateway whose state is a file."""

    gateway: GatewayProcess
    directory: Path
    load: Load

    @property
    def file(self) -> Path:
        return self.directory / "state" / "gateway.db"


@pytest.fixture(scope="module")
def village(tmp_path_factory: pytest.TempPathFactory, house: Path, echo: str) -> Iterator[Village]:
    state = {"url": "sqlite:state/gateway.db", "timeout": TIMEOUT}
    with fleet(tmp_path_factory.mktemp("village") / "fleet", house, state, echo) as ships:
        gateway = ships.start()
        token = opened(gateway.url)["access_token"]
        with Load(int(gateway.url.rpartition(":")[2]), {"/api/x": token}).running() as load:
            load.until("/api/x", 200)
            yield Village(gateway, ships.directory, load)


_HOLDS_THE_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked(village: Village) -> Iterator[None]:
    """Another process is frozen while it writes."""
    command = [sys.executable, "-c", _HOLDS_THE_LOCK, str(village.file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.kill()


@contextmanager
def disk_full(village: Village) -> Iterator[None]:
    """No file of the gateway can grow."""
    pid = village.gateway.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


@contextmanager
def removed(village: Village) -> Iterator[None]:
    """The directory is gone: a volume that was unmounted."""
    away = village.directory / "elsewhere"
    village.file.parent.rename(away)
    try:
        yield
    finally:
        away.rename(village.file.parent)


@pytest.mark.parametrize("broken", [locked, disk_full, removed])
async def test_sqlite_is_away(
    village: Village, http: aiohttp.ClientSession, broken: Callable[[Village], AbstractContextManager[None]]
) -> None:
    """C100"""
    tokens, leaving = [await asyncio.to_thread(opened, village.gateway.url) for _ in range(2)]
    assert await status_of(http, village.gateway, leaving) == 200
    with broken(village):
        status, _ = await exchange(http, village.gateway, tokens["refresh_token"])
        assert status == 503
        assert await log_out(http, village.gateway, leaving) == 503
        assert await status_of(http, village.gateway, leaving) == 401
        assert await asyncio.to_thread(village.load.next, "/api/x") == {200}
        assert village.gateway.readiness() == 200

    async def is_exchanged() -> bool:
        return (await exchange(http, village.gateway, tokens["refresh_token"]))[0] == 200

    await eventually(is_exchanged)
    await eventually(lambda: is_refused(http, village.gateway, leaving["refresh_token"]))


# --- an issuer


@pytest.mark.parametrize("fault", ["gone", "frozen", "cut", "endless"])
async def test_an_issuer_is_away(town: Town, http: aiohttp.ClientSession, fault: Any) -> None:
    """C65"""
    fresh = f"new-{fault}"
    await asyncio.sleep(1.1)  # the cooldown: an unknown key is looked for again
    with others_fail(town, fault):
        assert await _partner(http, town, partner_token(jti=f"another-{fault}")) == 200
        assert await _partner(http, town, partner_token(fresh)) == 503
        assert await asyncio.to_thread(town.load.next, "/partner/x") == {200}
        assert town.gateway.readiness() == 200
    town.others.keys = jwks(make_key("ES256", "known"), make_key("ES256", fresh))

    async def is_known() -> bool:
        return await _partner(http, town, partner_token(fresh)) == 200

    await eventually(is_known)


async def test_an_issuer_is_slow(town: Town, http: aiohttp.ClientSession) -> None:
    await asyncio.sleep(1.1)
    town.others.keys = jwks(make_key("ES256", "known"), make_key("ES256", "late"))
    with town.to_others.of("slow"):
        assert await _partner(http, town, partner_token("late")) == 200
        assert await asyncio.to_thread(town.load.next, "/partner/x") == {200}


@contextmanager
def others_fail(town: Town, fault: Any) -> Iterator[None]:
    if fault != "endless":
        with town.to_others.of(fault):
            yield
        return
    town.others.is_endless = True
    try:
        yield
    finally:
        town.others.is_endless = False


# --- an upstream


@pytest.mark.parametrize(
    ("fault", "outcome"), [("gone", 502), ("frozen", 504), ("cut", 502)], ids=["gone", "frozen", "cut"]
)
def test_an_upstream_is_away(town: Town, fault: Fault, outcome: int) -> None:
    with town.to_upstream.of(fault):
        town.load.until("/api/x", outcome)
        assert town.load.next("/other/x", 50) == {200}
        assert town.gateway.readiness() == 200
    town.load.until("/api/x", 200)


def test_an_upstream_is_slow(town: Town) -> None:
    with town.to_upstream.of("slow"):
        assert town.load.next("/api/x", 5) == {200}
        assert town.load.next("/other/x", 50) == {200}


# --- a login backend


@pytest.mark.parametrize("fault", ["gone", "frozen", "cut", "endless"])
async def test_a_login_backend_is_away(town: Town, http: aiohttp.ClientSession, fault: Any) -> None:
    tokens = await asyncio.to_thread(opened, town.url)
    with others_fail(town, fault):
        assert await _log_in(http, town) == 503
        assert await _exchange(http, town, tokens) == 200
        assert await asyncio.to_thread(town.load.next, "/api/x") == {200}
    assert await _log_in(http, town) == 200


async def test_a_login_backend_is_slow(town: Town, http: aiohttp.ClientSession) -> None:
    with town.to_others.of("slow"):
        assert await _log_in(http, town) == 200


# --- the webhook


@pytest.mark.parametrize("fault", ["gone", "frozen", "cut"])
async def test_the_webhook_is_away(town: Town, http: aiohttp.ClientSession, fault: Fault) -> None:
    before = len(town.others.alarms)
    with town.to_others.of(fault):
        await _steal(http, town)
        assert await asyncio.to_thread(town.load.next, "/api/x") == {200}
    if fault != "frozen":

        async def is_told() -> bool:
            return len(town.others.alarms) > before

        await eventually(is_told)


# --- who takes the log


async def test_nobody_takes_the_log(tmp_path: Path, house: Path, echo: str, http: aiohttp.ClientSession) -> None:
    """Standard output and standard error are one pipe, which is full long before the end."""
    path = f"/api/{'x' * 4000}"
    with (
        fleet(tmp_path / "fleet", house, {"url": "sqlite:state.db"}, echo) as ships,
        unread(ships.directory / "gateway1.log"),
    ):
        gateway = await asyncio.to_thread(ships.start)
        token = (await asyncio.to_thread(opened, gateway.url))["access_token"]
        with Load(int(gateway.url.rpartition(":")[2]), {path: token}).running() as load:
            assert await asyncio.to_thread(load.next, path, 40) == {200}
            assert await end_subject(http, gateway, "bob") == 0  # is an event on standard error
            assert await asyncio.to_thread(load.next, path, 40) == {200}
        assert gateway.stop() == 0


@contextmanager
def unread(file: Path) -> Iterator[None]:
    """Put a pipe there that nobody reads."""
    os.mkfifo(file)
    pipe = os.open(file, os.O_RDWR)
    try:
        yield
    finally:
        file.unlink()
        file.touch()
        os.close(pipe)


# --- what they ask


async def _exchange(http: aiohttp.ClientSession, town: Town, tokens: Tokens) -> int:
    return (await exchange(http, town.gateway, tokens["refresh_token"]))[0]


async def _is_exchanged(http: aiohttp.ClientSession, town: Town, tokens: Tokens) -> bool:
    return await _exchange(http, town, tokens) == 200


async def _log_in(http: aiohttp.ClientSession, town: Town) -> int:
    body = {"username": "alice", "password": "any", "client_id": "web"}
    async with http.post(f"{town.url}/auth/login", json=body) as response:
        if response.status == 503:
            assert response.headers["Retry-After"]
        return response.status


async def _partner(http: aiohttp.ClientSession, town: Town, token: str) -> int:
    async with http.get(f"{town.url}/partner/x", headers={"Authorization": f"Bearer {token}"}) as response:
        return response.status


async def _steal(http: aiohttp.ClientSession, town: Town) -> None:
    """Present a refresh token again that was replaced twice."""
    stolen: Tokens = await asyncio.to_thread(opened, town.url)
    tokens = stolen
    for _ in range(2):
        status, tokens = await exchange(http, town.gateway, tokens["refresh_token"])
        assert status == 200
    assert await is_refused(http, town.gateway, stolen["refresh_token"])
