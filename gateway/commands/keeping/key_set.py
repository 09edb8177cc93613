"""What becomes of a key file: a new one, one with a next key, one without those that have served their time.

A document is the bytes of the file. Functions here raise BadKeyring for one that is not good as it is.
"""

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from gateway.commands.trying.keys import new_private_key
from gateway.tokens import base64url
from gateway.tokens.keys import ALGORITHMS, SECRET_BYTES
from gateway.tokens.own_keys import MAX_KID, AccessKey, RefreshKey, in_use, read_keyring
from gateway.tokens.thumbprint import thumbprint

OWN_ALGORITHMS: Final = ("EdDSA", "ES256", "RS256", "HS256")
Use = Literal["sig", "refresh"]


@dataclass(frozen=True, slots=True)
class KeyState:
    """One key of a file. `unused_since` is when its successor took over; None for one that is or will be in use."""

    kid: str
    alg: str
    use: Use
    state: Literal["next", "current", "previous"]
    signs_from: int
    unused_since: int | None


def new_document(algorithm: str, now: int) -> bytes:
    """Return a key file with one key of each use, in use from now on."""
    return _document([_new_access_key(algorithm, now), _new_refresh_key(0, now)])


def with_next_key(document: bytes, use: Use, algorithm: str | None, signs_from: int, now: float) -> tuple[bytes, str]:
    """Return the file with one more key, and its kid. Without an algorithm, it is that of the key in use now."""
    keyring = read_keyring(document, lambda: now)
    if use == "sig":
        jwk = _new_access_key(algorithm or keyring.signing_key(now).algorithm, signs_from)
    else:
        jwk = _new_refresh_key(_free_kid(keyring.refresh), signs_from)
    written = _document([*_members(document), jwk])
    read_keyring(written, lambda: now)
    return written, jwk["kid"]


def without_old_keys(document: bytes, older_than: float, now: float) -> tuple[bytes, list[KeyState]]:
    """Return the file without the keys that have not been in use for so many seconds, and what they were."""
    old = [
        key for key in states(document, now) if key.unused_since is not None and key.unused_since <= now - older_than
    ]
    names = {(key.use, key.kid) for key in old}
    kept = [jwk for jwk in _members(document) if (jwk.get("use"), jwk.get("kid")) not in names]
    return _document(kept), old


def states(document: bytes, now: float) -> list[KeyState]:
    """Return what the keys of a file are at a time: those for access tokens first, each kind from old to new."""
    keyring = read_keyring(document, lambda: now)
    return [*_states(keyring.access, now), *_states(keyring.refresh, now)]


def _states(keys: tuple[AccessKey | RefreshKey, ...], now: float) -> Iterator[KeyState]:
    current = in_use(keys, now)
    for index, key in enumerate(keys):
        state: Literal["next", "current", "previous"] = "current"
        if index != current:
            state = "previous" if index < current else "next"
        unused_since = keys[index + 1].signs_from if state == "previous" else None
        if isinstance(key, AccessKey):
            yield KeyState(key.signer.kid, key.signer.algorithm, "sig", state, key.signs_from, unused_since)
        else:
            yield KeyState(str(key.kid), "HS256", "refresh", state, key.signs_from, unused_since)


def _new_access_key(algorithm: str, signs_from: int) -> dict[str, Any]:
    if algorithm == "HS256":
        jwk, kid = _new_secret(), secrets.token_urlsafe(12)  # not its thumbprint, which would help to guess it
    else:
        private = ALGORITHMS[algorithm].to_jwk(new_private_key(algorithm), as_dict=True)
        jwk = {name: value for name, value in private.items() if name != "key_ops"}
        kid = thumbprint(jwk)
    return {**jwk, "kid": kid, "alg": algorithm, "use": "sig", "signs_from": signs_from}


def _new_refresh_key(kid: int, signs_from: int) -> dict[str, Any]:
    return {**_new_secret(), "kid": str(kid), "alg": "HS256", "use": "refresh", "signs_from": signs_from}


def _new_secret() -> dict[str, Any]:
    return {"kty": "oct", "k": base64url.encode(secrets.token_bytes(SECRET_BYTES["HS256"]))}


def _free_kid(keys: tuple[RefreshKey, ...]) -> int:
    """Return the number after the newest, around the end; an old one comes again as late as possible."""
    taken = {key.kid for key in keys}
    following = ((keys[-1].kid + step) % (MAX_KID + 1) for step in range(1, MAX_KID + 1))
    return next(kid for kid in following if kid not in taken)  # a file holds far fewer keys than there are numbers


def _members(document: bytes) -> list[dict[str, Any]]:
    members: list[dict[str, Any]] = json.loads(document)["keys"]
    return members


def _document(members: list[dict[str, Any]]) -> bytes:
    return json.dumps({"keys": members}, indent=2).encode() + b"\n"
