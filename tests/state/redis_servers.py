"""Real Redis servers on loopback: one alone, a Sentinel group, a Cluster. What one run of the tests needs is shared."""

import asyncio
import atexit
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import redis

from gateway.state.opening import StateSettings, open_state
from gateway.state.redis_feed import RedisFeed
from gateway.state.redis_store import RedisStore
from tests.ports import free_port

NAMES = ("redis", "sentinel", "cluster")
Notices = list[tuple[str, dict[str, Any]]]


@dataclass
class RedisServer:
    """A redis-server process. `options` are its configuration; it can be killed and started again."""

    directory: Path
    options: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    password: str | None = None
    is_tls: bool = False
    client_tls: dict[str, Any] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None
    pid: int = 0

    def start(self) -> "RedisServer":
        self.directory.mkdir(parents=True, exist_ok=True)
        ports = {"port": "0", "tls-port": str(self.port)} if self.is_tls else {"port": str(self.port)}
        defaults = {"bind": "127.0.0.1", "save": "", "dir": str(self.directory), "logfile": "log"} | ports
        words = [word for name, value in (defaults | self.options).items() for word in (f"--{name}", *_words(value))]
        self.launch(*words)
        return self

    def launch(self, *words: str) -> None:
        """Start the server, under a shell that kills it when this process is gone, however that came about."""
        watch = 'redis-server "$@" >/dev/null 2>&1 </dev/null & echo $!; read -r _; kill -9 $!'
        self.process = subprocess.Popen(
            ["sh", "-c", watch, "sh", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self.process.stdout is not None
        self.pid = int(self.process.stdout.readline())
        try:
            wait_until(self._answers)
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        if self.process is not None:
            os.kill(self.pid, signal.SIGKILL)
            self.process.communicate()
            self.process = None

    def pause(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def run(self, *words: Any) -> Any:
        """Run one command."""
        tls: dict[str, Any] = {"ssl": True, "ssl_cert_reqs": "none", "ssl_check_hostname": False} | self.client_tls
        more = tls if self.is_tls else {}
        with redis.Redis(port=self.port, password=self.password, socket_timeout=5, protocol=2, **more) as client:
            return client.execute_command(*words)

    def _answers(self) -> bool:
        try:
            return bool(self.run("PING"))
        except redis.exceptions.AuthenticationError:
            return True
        except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError):
            return False


@dataclass
class SentinelGroup:
    """A primary, two replicas, and three Sentinels that need each other's agreement."""

    servers: list[RedisServer]
    sentinels: list[RedisServer]

    @property
    def url(self) -> str:
        return f"redis+sentinel://{','.join(f'127.0.0.1:{each.port}' for each in self.sentinels)}/main"

    @property
    def primary(self) -> RedisServer:
        """What the Sentinels name."""
        _, port = self.sentinels[0].run("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")
        return next(server for server in self.servers if server.port == int(port))

    def fail_over(self) -> None:
        """Wait until another server is the primary than the one that is gone."""
        old = self.primary
        wait_until(lambda: self.primary is not old and self.primary.run("ROLE")[0] == b"master", 20)

    def stop(self) -> None:
        for server in (*self.sentinels, *self.servers):
            server.kill()


@dataclass
class ClusterServers:
    """Primaries that share the slots."""

    servers: list[RedisServer]

    @property
    def url(self) -> str:
        return f"redis+cluster://{','.join(f'127.0.0.1:{each.port}' for each in self.servers)}"

    def stop(self) -> None:
        for server in self.servers:
            server.kill()


def start_sentinel_group(
    directory: Path, options: dict[str, str] | None = None, behind: dict[str, str] | None = None, **primary_is: Any
) -> SentinelGroup:
    """Start a group. `behind` are options of the first primary alone, `primary_is` other fields of it."""
    common = {"repl-diskless-sync-delay": "0", "repl-timeout": "5"} | (options or {})
    primary = RedisServer(directory / "primary", common | (behind or {}), **primary_is).start()
    follow = common | {"replicaof": f"127.0.0.1 {primary.port}"}
    replicas = [RedisServer(directory / f"replica{number}", follow).start() for number in (1, 2)]
    sentinels = [_start_sentinel(directory / f"sentinel{number}", primary.port) for number in (1, 2, 3)]
    group = SentinelGroup([primary, *replicas], sentinels)
    wait_until(lambda: all(_sees_all(sentinel) for sentinel in sentinels))
    wait_until(lambda: primary.run("INFO", "replication")["connected_slaves"] == 2)
    return group


def start_cluster(directory: Path, primaries: int = 3) -> ClusterServers:
    servers = []
    for number in range(primaries):
        ports = {"cluster-enabled": "yes", "cluster-port": str(free_port()), "cluster-node-timeout": "1000"}
        servers.append(RedisServer(directory / f"node{number}", ports).start())
    for number, server in enumerate(servers):
        first, last = 16384 * number // primaries, 16384 * (number + 1) // primaries - 1
        server.run("CLUSTER", "ADDSLOTSRANGE", first, last)
        server.run("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        if number:
            bus = servers[0].options["cluster-port"]
            server.run("CLUSTER", "MEET", "127.0.0.1", servers[0].port, bus)
    wait_until(lambda: all(len(server.run("CLUSTER", "SLOTS")) == primaries for server in servers))
    wait_until(lambda: all(b"cluster_state:ok" in server.run("CLUSTER", "INFO") for server in servers))
    return ClusterServers(servers)


@contextmanager
def server_of(directory: Path, **options: str) -> Iterator[RedisServer]:
    """Give a server of one's own. In the names of options `_` stands for `-`."""
    server = RedisServer(directory, {name.replace("_", "-"): value for name, value in options.items()}).start()
    try:
        yield server
    finally:
        server.kill()


@cache
def shared(name: str) -> tuple[str, list[RedisServer]]:
    """Return the URL and the data servers of what all tests share; it stops with this process."""
    directory = Path(tempfile.mkdtemp(prefix="redis-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    if name == "redis":
        server = RedisServer(directory / "alone").start()
        atexit.register(server.kill)
        return f"redis://127.0.0.1:{server.port}", [server]
    if name == "sentinel":
        group = start_sentinel_group(directory)
        atexit.register(group.stop)
        return group.url, group.servers
    cluster = start_cluster(directory)
    atexit.register(cluster.stop)
    return cluster.url, cluster.servers


def wipe(servers: list[RedisServer]) -> None:
    for server in servers:
        if server.run("ROLE")[0] == b"master":
            server.run("FLUSHALL")
            server.run("WAIT", 2 if server.run("INFO", "replication")["connected_slaves"] else 0, 1000)


class RedisBackend:
    """What contract tests run on."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.url, self.servers = shared(name)
        self._stores: list[RedisStore] = []

    async def open(self) -> tuple[RedisStore, RedisFeed]:
        """Return another process's way to the same data."""
        store, feed = connect(self.url)
        self._stores.append(store)
        await store.open()
        return store, feed

    async def wipe(self) -> None:
        """Lose everything."""
        await asyncio.to_thread(wipe, self.servers)

    async def close(self) -> None:
        for store in self._stores:
            await store.close()


@asynccontextmanager
async def redis_backend(name: str, directory: Path) -> AsyncIterator[RedisBackend]:
    """Give an empty store of a kind in NAMES."""
    backend = RedisBackend(name)
    await backend.wipe()
    try:
        yield backend
    finally:
        await backend.close()


def connect(
    url: str, notices: Notices | None = None, directory: Path = Path(), **settings: Any
) -> tuple[RedisStore, RedisFeed]:
    """Return a store and a feed as a configuration makes them, with more time than usual for slow machines."""
    told = [] if notices is None else notices
    parsed = StateSettings.model_validate({"url": url, "timeout": 2.0} | settings)
    state = open_state(parsed, directory, lambda event, fields: told.append((event, fields)))
    assert isinstance(state.store, RedisStore)
    assert isinstance(state.feed, RedisFeed)
    return state.store, state.feed


def wait_until(is_so: Callable[[], bool], seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def _words(value: str) -> list[str]:
    return value.split() or [""]


def _start_sentinel(directory: Path, primary_port: int) -> RedisServer:
    directory.mkdir(parents=True)
    sentinel = RedisServer(directory)
    (directory / "sentinel.conf").write_text(
        f"port {sentinel.port}\nbind 127.0.0.1\ndir {directory}\nlogfile log\n"
        f"sentinel monitor main 127.0.0.1 {primary_port} 2\n"
        "sentinel down-after-milliseconds main 800\nsentinel failover-timeout main 3000\n"
    )
    sentinel.launch(str(directory / "sentinel.conf"), "--sentinel")
    return sentinel


def _sees_all(sentinel: RedisServer) -> bool:
    words = sentinel.run("SENTINEL", "MASTER", "main")
    told = dict(zip(words[::2], words[1::2], strict=True))
    return bool(told[b"num-slaves"] == told[b"num-other-sentinels"] == b"2")
