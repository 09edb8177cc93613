"""Just enough of the WebSocket protocol (RFC 6455) for short messages."""

from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha1

_BINARY = 0x82
_MASKED = 0x80
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_SHORT = 125


def accept_of(key: str) -> str:
    """Return the `Sec-WebSocket-Accept` that answers a key."""
    return b64encode(sha1(f"{key}{_GUID}".encode(), usedforsecurity=False).digest()).decode()


def masked(payload: bytes, mask: bytes) -> bytes:
    """Return a client's message of at most 125 bytes."""
    return bytes((_BINARY, _MASKED | len(payload))) + mask + _xor(payload, mask)


def plain(payload: bytes) -> bytes:
    """Return a server's message of at most 125 bytes."""
    return bytes((_BINARY, len(payload))) + payload


def messages(received: bytearray) -> Iterator[bytes]:
    """Yield the payload of each whole message from a client, and take it away. Raises ValueError for anything else."""
    while len(received) >= 2:
        length = received[1] & ~_MASKED
        if received[0] != _BINARY or not received[1] & _MASKED or length > _SHORT:
            raise ValueError("only short masked binary messages are understood")
        if len(received) < 6 + length:
            return
        yield _xor(received[6 : 6 + length], received[2:6])
        del received[: 6 + length]


def _xor(payload: bytes | bytearray, mask: bytes | bytearray) -> bytes:
    length = len(payload)
    keys = (bytes(mask) * (length // 4 + 1))[:length]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(keys, "big")).to_bytes(length, "big")
