"""Base64url as JOSE uses it: without padding, and with one spelling per value (RFC 7515 §2)."""

from binascii import a2b_base64, b2a_base64

ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

_FROM_STANDARD = bytes.maketrans(b"+/", b"-_")
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_TAILS = (
    (frozenset(ALPHABET), b""),
    (frozenset[int](), b""),
    (frozenset(b"AQgw"), b"=="),
    (frozenset(b"AEIMQUYcgkosw048"), b"="),
)
"""By the length modulo 4: the last characters whose unused bits are zero, and the padding that a decoder wants."""


def encode(value: bytes) -> str:
    return b2a_base64(value, newline=False).translate(_FROM_STANDARD, b"=").decode("ascii")


def decode(text: bytes) -> bytes:
    """Return the bytes of a non-empty value. Raises ValueError for padding, other characters and stray last bits."""
    if not text or text.translate(None, ALPHABET):
        raise ValueError("empty, or a character outside the base64url alphabet")
    return decode_checked(text)


def decode_checked(text: bytes) -> bytes:
    """Like `decode`, for a non-empty value whose characters are known to be in the alphabet."""
    last, padding = _TAILS[len(text) & 3]
    if text[-1] not in last:
        raise ValueError("not the canonical base64url form")
    return a2b_base64(text.translate(_TO_STANDARD) + padding)
