"""The gateway's own keys: those that sign access tokens and those that make refresh tokens.

They are the members of one private JWK set (RFC 7517 §5). `signs_from` (Unix seconds) says from when on a key makes
new tokens, so that all processes that have read the file change over together, without a word between them. Every key
in the file verifies, whatever its time. The members with `use: refresh` are secrets whose `kid` is a number of one
byte; they are never published, nor are secrets that sign access tokens. Keys of a kind not known here are passed over
(RFC 7517 §5): a newer gateway may have put them there.
"""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from threading import Lock
from typing import Any
from weakref import WeakSet

from gateway.model.clock import Clock, unix_now
from gateway.model.errors import UnknownKey
from gateway.tokens import base64url
from gateway.tokens.cache import TokenCache
from gateway.tokens.key_documents import MAX_KEYS, BadKey, KeyRules, key_from_jwk
from gateway.tokens.keys import Key, KeySet
from gateway.tokens.signing import SigningKey, UnusableKey, secret_from_jwk, signing_key_from_jwk
from gateway.tokens.strict_json import NotStrictJson, read_object
from gateway.tokens.verify import LAST_SECOND

MAX_KID = 255
"""The greatest `kid` of a refresh key: it is one byte of the token."""


class BadKeyring(ValueError):
    """A key file that must not be used. The message goes on after its name, and never quotes key material."""


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A key for access tokens: how it signs, how it verifies, and from when on it does the former."""

    signer: SigningKey = field(compare=False)
    verifier: Key
    signs_from: int


@dataclass(frozen=True, slots=True)
class RefreshKey:
    """A secret for refresh tokens. `kid` is one byte."""

    kid: int
    secret: bytes = field(repr=False)
    signs_from: int
    _begun: dict[bytes, hmac.HMAC] = field(default_factory=dict, init=False, repr=False, compare=False)

    def derived(self, purpose: bytes) -> bytes:
        """Return the key for one purpose: what is known of one says nothing of another."""
        return hmac.digest(self.secret, b"gateway refresh token " + purpose, "sha256")

    def tag(self, purpose: bytes, content: bytes) -> bytes:
        """Return HMAC-SHA256 of the content, with the key for one purpose."""
        begun = self._begun.get(purpose)
        if begun is None:
            begun = self._begun[purpose] = hmac.new(self.derived(purpose), digestmod="sha256")
        tag = begun.copy()
        tag.update(content)
        return tag.digest()


@dataclass(frozen=True, slots=True)
class Keyring:
    """All keys of a key file, each kind in the order of `signs_from`. There is at least one of each."""

    access: tuple[AccessKey, ...]
    refresh: tuple[RefreshKey, ...]

    def signing_key(self, now: float) -> SigningKey:
        """Return the key that signs new access tokens at `now` (Unix seconds)."""
        return self.access[in_use(self.access, now)].signer

    def signing_key_named(self, kid: str) -> SigningKey | None:
        for key in self.access:
            if key.signer.kid == kid:
                return key.signer
        return None

    def refresh_key(self, now: float) -> RefreshKey:
        """Return the key that makes new refresh tokens at `now` (Unix seconds)."""
        return self.refresh[in_use(self.refresh, now)]

    def refresh_key_named(self, kid: int) -> RefreshKey | None:
        for key in self.refresh:
            if key.kid == kid:
                return key
        return None

    def jwks(self) -> dict[str, Any]:
        """Return the key set to publish: all public halves, those of keys to come included."""
        return {"keys": [dict(key.signer.jwk) for key in self.access if key.signer.jwk]}


def in_use(keys: tuple[AccessKey | RefreshKey, ...], now: float) -> int:
    """Return the index of the newest key that makes tokens at `now`; of the first, for a clock that is behind."""
    index = 0
    for number, key in enumerate(keys):
        if key.signs_from <= now:
            index = number
    return index


class OwnKeys:
    """The keys as they are now. Is a KeySource for our own access tokens. Assign `current` to replace them."""

    def __init__(self, current: Keyring) -> None:
        self._forgetters: WeakSet[Forgetter] = WeakSet()
        self._lock = Lock()  # a reload adds caches in a thread of its own
        self._current = current
        self._set = _verifiers(current)

    @property
    def current(self) -> Keyring:
        return self._current

    @current.setter
    def current(self, keyring: Keyring) -> None:
        withdrawn = self._set.thumbprints
        self._current, self._set = keyring, _verifiers(keyring)
        withdrawn -= self._set.thumbprints
        with self._lock:
            for forgetter in self._forgetters if withdrawn else ():
                forgetter.cache.forget(withdrawn)

    @property
    def keys(self) -> tuple[Key, ...]:
        """The keys that verify."""
        return self._set.keys

    def forget_in(self, cache: TokenCache) -> "Forgetter":
        """Let a cache forget what was verified with a key that is withdrawn, as long as what this returns is kept."""
        forgetter = Forgetter(cache)
        with self._lock:
            self._forgetters.add(forgetter)
        return forgetter

    def lookup(self, kid: str | None, alg: str, now: float) -> tuple[Key, ...]:
        """Return the key of this name. Raises UnknownKey, also without one, or WrongAlgorithm."""
        if kid is None:
            raise UnknownKey("our own tokens name their key, and there is no kid")
        return self._set.lookup(kid, alg, now)


class Forgetter:
    """Held by whoever uses the cache. A compiled class, as the cache is, knows no weak references."""

    def __init__(self, cache: TokenCache) -> None:
        self.cache = cache


def _verifiers(keyring: Keyring) -> KeySet:
    return KeySet(key.verifier for key in keyring.access)


def read_keyring(content: bytes, clock: Clock = unix_now) -> Keyring:
    """Return the keys in the content of a key file. Raises BadKeyring for anything that is wrong with one of them."""
    access: list[AccessKey] = []
    refresh: list[RefreshKey] = []
    for number, jwk in enumerate(_members(content), 1):
        if _is_of_unknown_kind(jwk):
            continue
        try:
            if _use(jwk) == "sig":
                access.append(_access_key(jwk))
            else:
                refresh.append(_refresh_key(jwk))
        except UnusableKey as error:
            raise BadKeyring(f"is not good: key {number} {error}") from error
        except BadKey as error:
            raise BadKeyring(f"is not good: key {number} is {error}") from error
    _refuse_twins(access, refresh)
    now = clock()
    for use, keys in (("sig", access), ("refresh", refresh)):
        if not any(key.signs_from <= now for key in keys):
            raise BadKeyring(f"is not good: it holds no key with use {use} whose signs_from has come")
    return Keyring(tuple(sorted(access, key=_beginning)), tuple(sorted(refresh, key=_beginning)))


def _members(content: bytes) -> list[Any]:
    try:
        members = read_object(content).get("keys")
    except NotStrictJson as error:
        raise BadKeyring(f"is not a JWK set: {error}") from error
    if type(members) is not list:
        raise BadKeyring("is not a JWK set: there is no array `keys`")
    if len(members) > MAX_KEYS:
        raise BadKeyring(f"holds more than {MAX_KEYS} keys")
    return members


def _is_of_unknown_kind(jwk: Any) -> bool:
    kty = jwk.get("kty") if type(jwk) is dict else None
    return type(kty) is str and kty not in _KINDS


_KINDS = frozenset({"OKP", "EC", "RSA", "oct"})


def _use(jwk: Any) -> str:
    use = jwk.get("use") if type(jwk) is dict else None
    if use not in ("sig", "refresh"):
        raise UnusableKey('has neither "sig" nor "refresh" as its use')
    return str(use)


def _access_key(jwk: Mapping[str, Any]) -> AccessKey:
    signer = signing_key_from_jwk(jwk)
    public = signer.jwk or {name: jwk[name] for name in ("kty", "k", "kid", "alg")}
    verifier = key_from_jwk(dict(public), KeyRules(symmetric=not signer.jwk))
    assert verifier is not None
    return AccessKey(signer, verifier, _signs_from(jwk))


def _refresh_key(jwk: Mapping[str, Any]) -> RefreshKey:
    kid = jwk.get("kid")
    if type(kid) is not str or not _BYTE.fullmatch(kid) or int(kid) > MAX_KID:
        raise UnusableKey(f"is for refresh tokens, and its kid is not a number from 0 to {MAX_KID} in quotes")
    if jwk.get("alg", "HS256") != "HS256":
        raise UnusableKey("is for refresh tokens, and its alg is not HS256")
    return RefreshKey(int(kid), secret_from_jwk(jwk), _signs_from(jwk))


_BYTE = re.compile(r"0|[1-9][0-9]{0,2}")


def _signs_from(jwk: Mapping[str, Any]) -> int:
    value = jwk.get("signs_from")
    if type(value) is not int or not 0 <= value <= LAST_SECOND:
        raise UnusableKey("has no signs_from: the time of its first use, in Unix seconds")
    return value


def _beginning(key: AccessKey | RefreshKey) -> int:
    return key.signs_from


def _refuse_twins(access: list[AccessKey], refresh: list[RefreshKey]) -> None:
    """A name stands for one key; and a key serves one purpose, or what it makes for one could be used for another."""
    if len({key.signer.kid for key in access}) < len(access) or len({key.kid for key in refresh}) < len(refresh):
        raise BadKeyring("is not good: two keys of the same use have the same kid")
    materials = chain((key.verifier.thumbprint for key in access), (_thumbprint(key) for key in refresh))
    if len(set(materials)) < len(access) + len(refresh):
        raise BadKeyring("is not good: it holds the same key twice")


def _thumbprint(key: RefreshKey) -> str:
    jwk = {"kty": "oct", "k": base64url.encode(key.secret)}
    verifier = key_from_jwk(jwk, KeyRules(symmetric=True))
    assert verifier is not None
    return verifier.thumbprint
