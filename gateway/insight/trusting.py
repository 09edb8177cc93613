"""The keys that tokens are verified and made with, and certificates: what there is, and how old. Never key material."""

from collections.abc import Sequence
from typing import Any

from gateway.config.snapshot import Snapshot
from gateway.insight.configuration import without_credentials
from gateway.mechanisms.authenticators.jwt import JwtAuthenticator
from gateway.tokens.keys import Key
from gateway.tokens.own_keys import OwnKeys, in_use
from gateway.tokens.remote_keys import RemoteKeys


def keys(snapshot: Snapshot, now: float) -> dict[str, Any]:
    """Return what one process trusts. Ages are seconds, times Unix seconds."""
    own = None if snapshot.own is None else snapshot.own.keys
    certificates = [{"listener": address, "expires_at": tls.expires_at} for address, tls in snapshot.server_tls]
    return {
        "authenticators": [_authenticator(each, snapshot, now) for each in snapshot.authenticators.values()],
        "own": [] if own is None else _own_keys(own, now),
        "certificates": certificates,
    }


def keys_together(answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what several processes trust: each has fetched the keys for itself, so the oldest are shown."""
    first, *others = answers
    rows = {row["name"]: row for row in first["authenticators"]}
    for answer in others:
        for other in answer["authenticators"]:
            if (row := rows.get(other["name"])) is not None:
                _add(row, other)
    return first


def _add(row: dict[str, Any], other: dict[str, Any]) -> None:
    if row["is_fetched"]:
        row["age"] = None if None in (row["age"], other["age"]) else max(row["age"], other["age"])
    for counts in ("fetches", "cache"):
        if row[counts] is not None and other[counts] is not None:
            row[counts] = {name: number + other[counts].get(name, 0) for name, number in row[counts].items()}


def _authenticator(authenticator: JwtAuthenticator, snapshot: Snapshot, now: float) -> dict[str, Any]:
    source, cache = authenticator.keys, authenticator.cache
    remote = source if isinstance(source, RemoteKeys) else None
    known: tuple[Key, ...] = getattr(source, "keys", ())
    return {
        "name": authenticator.name,
        "issuer": authenticator.expect.issuer,
        "source": _source(authenticator.name, snapshot),
        "is_fetched": remote is not None,
        "age": None if remote is None or remote.fetched_at is None else max(0.0, now - remote.fetched_at),
        "fetches": None if remote is None else dict(remote.fetches),
        "cache": {"entries": len(cache), "hits": cache.hits, "misses": cache.misses},
        "keys": [_key(key) for key in known],
    }


def _source(name: str, snapshot: Snapshot) -> str:
    settings = snapshot.config.authenticators.get(name)
    for setting in ("jwks_uri", "jwks_file", "pem_file", "secret_file"):
        if value := getattr(settings, setting, None):
            return without_credentials(str(value))
    return "own" if settings is None or settings.type == "issued" else "discovery"


def _key(key: Key) -> dict[str, Any]:
    return {"kid": key.kid, "alg": " ".join(sorted(key.algorithms))}


def _own_keys(own: OwnKeys, now: float) -> list[dict[str, Any]]:
    ring = own.current.access
    current = in_use(ring, now)
    return [
        {
            "kid": key.signer.kid,
            "alg": " ".join(sorted(key.verifier.algorithms)),
            "status": "current" if number == current else "former" if number < current else "next",
            "signs_from": key.signs_from,
            "age": max(0.0, now - key.signs_from) if key.signs_from else None,
        }
        for number, key in enumerate(ring)
    ]
