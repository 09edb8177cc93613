"""Verification keys, each bound to its algorithms, and the choice among them (RFC 7517, RFC 8725 §3.1)."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from jwt.algorithms import Algorithm, get_default_algorithms

from gateway.model.decision import Pending
from gateway.model.errors import UnknownKey, WrongAlgorithm

RSA_ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
CURVE_ALGORITHMS = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA", "Ed448": "EdDSA"}
SECRET_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
"""HMAC algorithm → the least length of its secret (RFC 7518 §3.2)."""

ALGORITHMS: dict[str, Algorithm] = {
    name: algorithm
    for name, algorithm in get_default_algorithms().items()
    if name in RSA_ALGORITHMS or name in CURVE_ALGORITHMS.values() or name in SECRET_BYTES
}
"""Every algorithm that is understood here, as PyJWT does it. `none` is not among them."""

MAX_TRIED = 4
"""Signature checks that one token may cost."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key, and all that it may be used for. `material` is what PyJWT's algorithms take.

    `thumbprint` (RFC 7638) names it, with or without a `kid`. Do not print that of an HMAC key: it helps to guess it.
    """

    kid: str | None
    kty: str
    algorithms: frozenset[str]
    thumbprint: str = field(repr=False)
    material: Any = field(repr=False)


class KeySource(Protocol):
    def lookup(self, kid: str | None, alg: str, now: float) -> tuple[Key, ...] | Pending:
        """Return the keys that may have signed such a token, one to MAX_TRIED; Pending when some must be fetched first.

        Raises UnknownKey, WrongAlgorithm, or KeysUnavailable.
        """


class KeySet:
    """Keys that do not change. Is a KeySource."""

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        self.keys = tuple(keys)
        self.thumbprints = frozenset(key.thumbprint for key in self.keys)
        self._kids = frozenset(key.kid for key in self.keys)
        self._chosen: dict[tuple[str | None, str], tuple[Key, ...]] = {}
        """Memo for the `kid`s that there are: any other is made up by clients."""

    def lookup(self, kid: str | None, alg: str, now: float) -> tuple[Key, ...]:
        if found := self.candidates(kid, alg):
            return found
        raise UnknownKey(f"no key fits this kid and alg {alg!r}")

    def candidates(self, kid: str | None, alg: str) -> tuple[Key, ...]:
        """Return the keys for `alg` with this `kid` or without any; for a token without `kid`, all keys for `alg`.

        Raises WrongAlgorithm if there is a key with this `kid`, but for other algorithms.
        """
        chosen = self._chosen.get((kid, alg))
        if chosen is not None:
            return chosen
        named = self.keys if kid is None else tuple(key for key in self.keys if key.kid is None or key.kid == kid)
        fitting = tuple(key for key in named if alg in key.algorithms)[:MAX_TRIED]
        if kid is not None and kid in self._kids:
            if not fitting:
                raise WrongAlgorithm(f"the key with this kid is not for {alg!r}")
            self._chosen[kid, alg] = fitting
        return fitting
