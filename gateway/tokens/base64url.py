"""Base64url as JOSE uses it: without padding, and with one spelling per value (RFC 7515 §2)."""

from base64 import urlsafe_b64encode
from binascii import a2b_base64

ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_TAILS = {
    0: (frozenset(ALPHABET), b""),
    2: (frozenset(b"AQgw"), b"=="),
    3: (frozenset(b"AEIMQUYcgkosw048"), b"="),
}
"""Length modulo 4 → the last characters whose unused bits are zero, and the padding that a decoder wants."""


def encode(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode("ascii")


def decode(text: bytes) -> bytes:
    """Return the bytes of a non-empty value. Raises ValueError for padding, other characters and stray last bits."""
    if not text or text.translate(None, ALPHABET):
        raise ValueError("empty, or a character outside the base64url alphabet")
    return decode_checked(text)


def decode_checked(text: bytes) -> bytes:
    """Like `decode`, for a non-empty value whose characters are known to be in the alphabet."""
    tail = _TAILS.get(len(text) % 4)
    if tail is None or text[-1] not in tail[0]:
        raise ValueError("not the canonical base64url form")
    return a2b_base64(text.translate(_TO_STANDARD) + tail[1])
