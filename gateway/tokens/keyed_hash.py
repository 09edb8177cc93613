"""HMAC-SHA-256 (RFC 2104) with a key that is prepared once: many short messages at a third of the cost."""

from hashlib import sha256

_BLOCK = 64
_INNER, _OUTER = bytes(byte ^ 0x36 for byte in range(256)), bytes(byte ^ 0x5C for byte in range(256))


class KeyedHash:
    """A key of at most 64 bytes. Shows nothing of it."""

    def __init__(self, key: bytes) -> None:
        if len(key) > _BLOCK:
            raise ValueError(f"a key of {len(key)} bytes")
        padded = key.ljust(_BLOCK, b"\0")
        self._inner = sha256(padded.translate(_INNER))
        self._outer = sha256(padded.translate(_OUTER))

    def digest(self, message: bytes) -> bytes:
        """Return the 32 bytes of the message."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        return outer.digest()
