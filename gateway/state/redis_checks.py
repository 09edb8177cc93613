"""Whether a Redis may hold sessions: it must be recent, and must never evict a key."""

import re

from redis.exceptions import RedisError

from gateway.model.notice import Notice
from gateway.state.base import BadStore
from gateway.state.redis_line import Reply
from gateway.state.redis_link import Link, words_of
from gateway.state.redis_places import USE_CLUSTER
from gateway.state.redis_scripts import OPEN, plain

OLDEST = (6, 2)
"""`SET … EXAT` is of Redis 6.2."""
STRICT = (7, 0)
"""From here on, scripts obey `min-replicas-to-write`."""


async def check(link: Link, new_epoch: str) -> None:
    """Raise BadStore if the store must not be used. CONFIG is never asked: managed Redis forbids it."""
    asked = plain("INFO", "server"), plain("INFO", "memory"), plain("INFO", "replication")
    for node, (server, memory, replication) in await link.ask_primaries(*asked):
        if _field(server, "redis_mode") == "cluster" and not link.place.is_cluster:
            raise BadStore(f"Redis at {node.name} belongs to a cluster: {USE_CLUSTER}")
        _check_version(_field(server, "redis_version"), node.name, link.notice)
        _check_policy(_field(memory, "maxmemory_policy"), node.name, memory, link.notice)
        link.saw_replication(replication)
    (shards,) = await link.ask(0, OPEN.command(link.keys(0).feed, [new_epoch, link.shards, 0]))
    if int(shards) != link.shards:
        raise BadStore(
            f"{link.place.name} was set up with {int(shards)} shards, not {link.shards}: "
            f"set state.shards to {int(shards)}, or use another state.prefix"
        )


def _check_version(version: str | None, name: str, notice: Notice) -> None:
    numbers = tuple(int(number) for number in re.findall(r"[0-9]+", version or "")[:2])
    if not numbers:
        notice("redis_version_unknown", {"server": name})
    elif numbers < OLDEST:
        raise BadStore(f"Redis at {name} is {version}: 6.2 is the oldest that can be used, 7.0 what should be")
    elif numbers < STRICT:
        notice("redis_old", {"server": name, "version": version, "lacks": "min-replicas-to-write in scripts"})


def _check_policy(policy: str | None, name: str, memory: Reply, notice: Notice) -> None:
    if policy is None:
        reason = words_of(memory) if isinstance(memory, RedisError) else "INFO memory does not tell"
        notice("redis_policy_unknown", {"server": name, "reason": reason, "needed": "maxmemory-policy noeviction"})
    elif policy != "noeviction":
        raise BadStore(
            f"Redis at {name} has maxmemory-policy {policy}: it would forget sessions and revocations when memory "
            "runs short. Set it to noeviction, or give the gateway a Redis of its own"
        )


def _field(info: Reply, name: str) -> str | None:
    found = re.search(rf"^{name}:([^\r\n]*)", info.decode(), re.MULTILINE) if isinstance(info, bytes) else None
    return found[1] if found else None
