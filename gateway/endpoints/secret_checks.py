"""Whether a client secret is right: in constant time, slow hashes in a thread, and not anew for every request."""

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from hmac import compare_digest

from gateway.mechanisms.logins.hashes import CannotVerify, PasswordHash, decoy, read_hash
from gateway.mechanisms.logins.threads import BoundedThreads
from gateway.model.errors import LoginUnavailable

_REMEMBERED = 256
"""How many proven secrets are remembered, as keyed digests."""
_PARALLEL, _WAITING = 2, 16
"""How many slow hashes are computed at the same time, and how many may wait for that."""

Verifier = bytes | PasswordHash
"""The SHA-256 of a secret, or a slow hash."""


class SecretChecks:
    """The secrets of all clients. An unknown client is checked against hashes that nothing fits."""

    def __init__(self, hashes: Mapping[str, tuple[str, ...]]) -> None:
        self._verifiers = {name: tuple(map(_verifier, texts)) for name, texts in hashes.items()}
        self._decoys = _decoys(self._verifiers)
        self._key = secrets.token_bytes(32)
        self._proven: OrderedDict[bytes, None] = OrderedDict()
        self._threads = BoundedThreads(_PARALLEL, _WAITING, "client_secrets")

    async def is_right(self, client_id: str, secret: str) -> bool:
        """Say whether this is a secret of the client. Raises Unavailable where that cannot be computed now."""
        password = secret.encode("utf-8", "surrogatepass")
        digest = self._digest(client_id, password)
        if digest in self._proven:
            self._proven.move_to_end(digest)
            return True
        is_right = False
        for verifier in self._verifiers.get(client_id) or self._decoys:
            is_right |= await self._fits(verifier, password)
        if is_right:
            self._proven[digest] = None
            while len(self._proven) > _REMEMBERED:
                self._proven.popitem(last=False)
        return is_right

    def close(self) -> None:
        """Let go of the threads."""
        self._threads.close()

    async def _fits(self, verifier: Verifier, password: bytes) -> bool:
        if isinstance(verifier, bytes):
            return compare_digest(hashlib.sha256(password).digest(), verifier)
        try:
            return await self._threads.run(verifier.verify, password)
        except CannotVerify as error:
            raise LoginUnavailable("the secret of a client cannot be checked now") from error

    def _digest(self, client_id: str, password: bytes) -> bytes:
        """Return what is remembered of a proven secret: worth nothing without the key of this process."""
        name = client_id.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(len(name).to_bytes(4) + name + password, key=self._key).digest()


def _verifier(text: str) -> Verifier:
    return bytes.fromhex(text.removeprefix("sha256:")) if text.startswith("sha256:") else read_hash(text)


def _decoys(verifiers: Mapping[str, tuple[Verifier, ...]]) -> tuple[Verifier, ...]:
    """Return what is checked where there is nothing to check: as costly as the first client's with a secret."""
    known = next((each for each in verifiers.values() if each), ())
    return tuple(secrets.token_bytes(32) if isinstance(each, bytes) else decoy(each.cost) for each in known) or (
        secrets.token_bytes(32),
    )
