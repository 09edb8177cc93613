"""A Redis: whether it can be reached, and keeps what it is given."""

import time
from collections.abc import Iterator, Mapping
from typing import Final

from gateway.commands.doctoring.finding import Finding, Patient, advice, fine, problem
from gateway.model.errors import StoreUnavailable
from gateway.model.host import is_loopback
from gateway.state.base import BadStore
from gateway.state.opening import StateSettings, redis_options
from gateway.state.redis_checks import OLDEST, STRICT
from gateway.state.redis_line import Reply
from gateway.state.redis_scripts import plain

_ASKED: Final = tuple(plain("INFO", section) for section in ("server", "memory", "persistence", "replication"))
_OFF: Final = 1.0
_FAR_OFF: Final = 5.0
"""Seconds. Sessions go by the store's clock, tokens by this host's."""


async def redis_store(settings: StateSettings, patient: Patient) -> list[Finding]:
    from gateway.state.redis import redis_link

    place = settings.place
    found = [_tls(settings)]
    try:
        link = redis_link(place, redis_options(settings, patient.directory), lambda event, fields: None)
    except BadStore as error:
        return [*found, problem("store", str(error), "correct state.ca, state.certificate and state.key")]
    try:
        began = time.monotonic()
        answers = await link.ask_primaries(plain("TIME"), *_ASKED)
        now, half = patient.clock(), (time.monotonic() - began) / 2
    except StoreUnavailable as error:
        to_do = "see that it runs, that this host can reach it, and that it takes the user and password of state"
        return [*found, problem("store", f"the store cannot be used: {error}", to_do)]
    finally:
        await link.close()
    for node, (moment, *sections) in answers:
        found.append(fine("store", f"Redis at {node.name} answers"))
        found += _clock(node.name, moment, now - half)
        found += _settings(node.name, _fields(sections))
    return found


def _tls(settings: StateSettings) -> Finding:
    place = settings.place
    if place.is_tls or not place.hosts or all(is_loopback(host) for host, _ in place.hosts):
        return fine("redis_tls", "what goes to Redis cannot be read on the way")
    says = "state.url has no TLS: the password of Redis, and who is logged in, can be read on the way"
    return advice("redis_tls", says, "write rediss, with state.ca for an authority of your own")


def _clock(name: str, moment: Reply, now: float) -> Iterator[Finding]:
    if not isinstance(moment, list):
        return
    off = abs(int(moment[0]) + int(moment[1]) / 1e6 - now)
    says = f"the clocks of this host and of Redis at {name} differ by {off:.1f} s"
    if off <= _OFF:
        yield fine("store_clock", says)
    else:
        make = problem if off > _FAR_OFF else advice
        yield make("store_clock", says, "run a time service on both hosts")


def _settings(name: str, info: Mapping[str, str]) -> Iterator[Finding]:
    yield _version(name, info.get("redis_version", ""))
    yield _eviction(name, info)
    yield _persistence(name, info)
    replicas = int(info.get("connected_slaves", "0"))
    if replicas:
        yield fine("redis_replicas", f"Redis at {name} has {replicas} replicas")
    else:
        says = f"Redis at {name} has no replica: while it is away nobody can log in or out"
        yield advice("redis_replicas", says, "add one with Sentinel; revocation.when_stale says who passes meanwhile")


def _version(name: str, version: str) -> Finding:
    numbers = tuple(int(number) for number in version.split(".")[:2] if number.isdecimal())
    if not numbers:
        return advice("redis_version", f"Redis at {name} does not tell its version", "see that it is 7.0 or later")
    says = f"Redis at {name} is {version}"
    if numbers >= STRICT:
        return fine("redis_version", says)
    to_do = "use 7.0 or later: only there scripts obey min-replicas-to-write"
    return (problem if numbers < OLDEST else advice)("redis_version", says, to_do)


def _eviction(name: str, info: Mapping[str, str]) -> Finding:
    policy = info.get("maxmemory_policy")
    if policy is None:
        says = f"Redis at {name} does not tell its maxmemory-policy"
        return advice("redis_eviction", says, "see in its console that it is noeviction")
    if policy != "noeviction":
        says = f"Redis at {name} forgets sessions and revocations when memory runs short (maxmemory-policy {policy})"
        return problem(
            "redis_eviction", says, "set maxmemory-policy noeviction, or give the gateway a Redis of its own"
        )
    if info.get("maxmemory", "0") == "0":
        says = f"Redis at {name} may take all memory of its host"
        return advice("redis_eviction", says, "set maxmemory, so that it refuses writes before it is killed")
    return fine("redis_eviction", f"Redis at {name} forgets nothing when memory runs short")


def _persistence(name: str, info: Mapping[str, str]) -> Finding:
    for field in ("rdb_last_bgsave_status", "aof_last_write_status", "aof_last_bgrewrite_status"):
        if info.get(field, "ok") != "ok":
            return problem(
                "redis_persistence", f"Redis at {name} cannot write to its disk ({field})", "see its log and its disk"
            )
    if info.get("aof_enabled") == "1":
        return fine("redis_persistence", f"Redis at {name} keeps a log of all that is written")
    if "aof_enabled" not in info:
        says = f"Redis at {name} does not tell whether it keeps what it is given"
    else:
        says = f"Redis at {name} loses what was written last when it restarts: logouts, and sessions"
    return advice("redis_persistence", says, "set appendonly yes")


def _fields(sections: list[Reply]) -> dict[str, str]:
    """Return what INFO tells. A server that forbids INFO tells nothing."""
    lines = [line for each in sections if isinstance(each, bytes) for line in each.decode().splitlines()]
    return {name: value for name, _, value in (line.partition(":") for line in lines) if value}
