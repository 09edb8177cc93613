"""With the two configurations of the guide people log in: at a real Sentinel group and a real Cluster."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import yaml

from tests.pages.blocks import titled
from tests.pages.trying import GATEWAY, PASSWORD, answer, issuer_at, own_keys_at, running, whole
from tests.ports import free_port
from tests.state.redis_servers import RedisServer, start_cluster, start_sentinel_group

PAGE = "docs/guides/redis.md"
Servers = Callable[[Path, str], AbstractContextManager[tuple[str, RedisServer]]]


@contextmanager
def sentinel(directory: Path, text: str) -> Iterator[tuple[str, RedisServer]]:
    """Give the configuration with the addresses of servers that run, and one of these."""
    group = start_sentinel_group(directory)
    try:
        for server in group.servers:
            server.run("ACL", "SETUSER", "gateway", "on", ">of redis", "~*", "&*", "+@all")
        primary = group.primary
        for each in group.sentinels:
            each.run("ACL", "SETUSER", "default", "resetpass", ">of sentinels")
        for number, each in enumerate(group.sentinels, 1):
            text = text.replace(f"sentinel-{number}:26379", f"127.0.0.1:{each.port}")
        yield text.replace("mymaster", "main"), primary
    finally:
        group.stop()


@contextmanager
def cluster(directory: Path, text: str) -> Iterator[tuple[str, RedisServer]]:
    """The same, without TLS: these servers have no certificates."""
    servers = start_cluster(directory)
    try:
        for number, each in enumerate(servers.servers, 1):
            each.run("CONFIG", "SET", "requirepass", "of redis")
            each.password = "of redis"
            text = text.replace(f"node-{number}:6379", f"127.0.0.1:{each.port}")
        yield text.replace("rediss+", "redis+"), servers.servers[0]
    finally:
        servers.stop()


@pytest.mark.parametrize(
    ("title", "servers", "user"), [("sentinel", sentinel, "gateway"), ("cluster", cluster, "default")]
)
def test_people_log_in(title: str, servers: Servers, user: str, tmp_path: Path) -> None:
    issuer_at(tmp_path)
    own_keys_at(tmp_path)
    for name, password in (("redis.password", "of redis"), ("sentinel.password", "of sentinels")):
        (tmp_path / name).touch(0o600)
        (tmp_path / name).write_text(password)
    with servers(tmp_path / "redis", titled(PAGE, title)) as (text, server):
        config = yaml.safe_load(whole(text + "sessions: {}\n"))
        config["listen"] = [{"address": f"127.0.0.1:{(port := free_port())}"}]
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
        with running([*GATEWAY, "serve", "config.yaml"], tmp_path):
            credentials = f"username=alice&password={PASSWORD}".encode()
            status, body = answer(f"http://127.0.0.1:{port}/auth/login", data=credentials)
            assert status == 200, body + (tmp_path / "log").read_text()
            assert f"user={user}" in str(server.run("CLIENT", "LIST"))
