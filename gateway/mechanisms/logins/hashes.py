"""Password hashes: argon2id, bcrypt and scrypt, within bounds.

No message here contains a hash or a password.
"""

import hashlib
import re
import secrets
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Final, Literal

Algorithm = Literal["argon2id", "bcrypt", "scrypt"]
ALGORITHMS: Final[tuple[Algorithm, ...]] = ("argon2id", "bcrypt", "scrypt")

BCRYPT_BYTES = 72
"""What bcrypt looks at of a password. The rest never counted, in whatever program made the hash, nor does it here;
a new hash is not made of a longer one."""

_MAX_BCRYPT_COST = 15
_MAX_KIB = 1024 * 1024
"""1 GiB."""
_MAX_ARGON2_WORK = 2 * _MAX_KIB
"""Memory times passes. Like the other bounds, about five seconds on a slow core."""

_ARGON2 = re.compile(
    r"\$argon2id\$v=19\$m=([1-9][0-9]{0,9}),t=([1-9][0-9]{0,9}),p=([1-9][0-9]{0,3})"
    r"\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{16,86})"
)
_BCRYPT = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")
"""The last character of the salt carries two bits: other characters are not canonical, and refused by the library."""
_SCRYPT = re.compile(
    r"\$scrypt\$ln=([1-9][0-9]?),r=([1-9][0-9]{0,5}),p=([1-9][0-9]{0,5})"
    r"\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})"
)

_NEW_ARGON2 = (64 * 1024, 3, 4)
"""KiB, passes, lanes: the second recommended option of RFC 9106 §4."""
_NEW_BCRYPT = 12
_NEW_SCRYPT = (17, 8, 1)
"""2^17, 8, 1: 128 MiB, as OWASP recommends."""


class UnusableHash(ValueError):
    """The message completes `the hash …`."""


class CannotVerify(Exception):
    """The check could not be made, for want of memory. Says nothing about the password."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What it costs to verify a hash. Two hashes with the same cost take the same time."""

    algorithm: Algorithm
    parameters: tuple[int, ...]
    salt_bytes: int = 16
    hash_bytes: int = 32

    def __str__(self) -> str:
        named = zip(_PARAMETERS[self.algorithm], self.parameters, strict=True)
        return f"{self.algorithm} " + ",".join(f"{name}={value}" for name, value in named)


_PARAMETERS: Final[dict[Algorithm, tuple[str, ...]]] = {
    "argon2id": ("m", "t", "p"),
    "bcrypt": ("cost",),
    "scrypt": ("ln", "r", "p"),
}


@dataclass(frozen=True, slots=True)
class PasswordHash:
    """A hash that is well-formed and not too costly."""

    cost: Cost
    text: str = field(repr=False)

    def verify(self, password: bytes) -> bool:
        """Say whether this is the password. Takes long: call it in a thread. Raises CannotVerify."""
        try:
            return _VERIFY[self.cost.algorithm](self.text, password)
        except (ValueError, MemoryError) as error:
            raise CannotVerify(f"{self.cost} could not be computed") from error


def read_hash(text: str) -> PasswordHash:
    """Return the hash in PHC or crypt form. Raises UnusableHash."""
    if found := _ARGON2.fullmatch(text):
        return PasswordHash(_argon2_cost(*found.groups()), text)
    if found := _BCRYPT.fullmatch(text):
        cost = int(found[1])
        if not 4 <= cost <= _MAX_BCRYPT_COST:
            raise UnusableHash(f"has a cost that is not between 4 and {_MAX_BCRYPT_COST}")
        return PasswordHash(Cost("bcrypt", (cost,)), text)
    if found := _SCRYPT.fullmatch(text):
        return PasswordHash(_scrypt_cost(*found.groups()), text)
    raise UnusableHash("is not argon2id (v=19), bcrypt ($2a$, $2b$, $2y$) or scrypt, whole and well-formed")


def new_hash(password: bytes, algorithm: Algorithm = "argon2id") -> PasswordHash:
    """Return a hash of a password. Raises UnusableHash for one that bcrypt would cut short."""
    return read_hash(_NEW[algorithm](password))


NEW_COST = Cost("argon2id", _NEW_ARGON2)


def decoy(cost: Cost) -> PasswordHash:
    """Return a hash that takes as long as any of this cost, and is no password's."""
    salt, digest = _base64(secrets.token_bytes(cost.salt_bytes)), _base64(secrets.token_bytes(cost.hash_bytes))
    if cost.algorithm == "bcrypt":
        tail = "".join(secrets.choice(_BCRYPT_LETTERS) for _ in range(52))
        return read_hash(f"$2b${cost.parameters[0]:02}${tail[:21]}.{tail[21:]}")
    text = _ARGON2_TEXT if cost.algorithm == "argon2id" else _SCRYPT_TEXT
    return read_hash(text.format(*cost.parameters, salt, digest))


_ARGON2_TEXT = "$argon2id$v=19$m={},t={},p={}${}${}"
_SCRYPT_TEXT = "$scrypt$ln={},r={},p={}${}${}"
_BCRYPT_LETTERS = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def _argon2_cost(m: str, t: str, p: str, salt: str, digest: str) -> Cost:
    kib, passes, lanes = int(m), int(t), int(p)
    if kib < 8 * lanes or lanes > 64:
        raise UnusableHash("has parameters that argon2 does not allow")
    if kib > _MAX_KIB or kib * passes > _MAX_ARGON2_WORK:
        raise UnusableHash("would take more than 1 GiB or several seconds to verify")
    return Cost("argon2id", (kib, passes, lanes), _length(salt), _length(digest))


def _scrypt_cost(ln: str, r: str, p: str, salt: str, digest: str) -> Cost:
    log_n, block, lanes = int(ln), int(r), int(p)
    if log_n > 30 or (128 * block * lanes << log_n) > _MAX_KIB * 1024:
        raise UnusableHash("would take more than 1 GiB or several seconds to verify")
    return Cost("scrypt", (log_n, block, lanes), _length(salt), _length(digest))


def _length(text: str) -> int:
    """Return the number of bytes in canonical base64 without padding."""
    try:
        value = b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError as error:
        raise UnusableHash("has a salt or a digest that is not base64") from error
    if _base64(value) != text:
        raise UnusableHash("has a salt or a digest that is not canonical base64")
    return len(value)


def _base64(value: bytes) -> str:
    return b64encode(value).decode().rstrip("=")


def _new_argon2(password: bytes) -> str:
    from argon2.low_level import Type, hash_secret

    kib, passes, lanes = _NEW_ARGON2
    salt = secrets.token_bytes(16)
    return hash_secret(
        password, salt, time_cost=passes, memory_cost=kib, parallelism=lanes, hash_len=32, type=Type.ID
    ).decode()


def _verify_argon2(text: str, password: bytes) -> bool:
    from argon2.exceptions import VerificationError, VerifyMismatchError
    from argon2.low_level import Type, verify_secret

    try:
        return verify_secret(text.encode(), password, Type.ID)
    except VerifyMismatchError:
        return False
    except VerificationError as error:
        raise CannotVerify("argon2id could not be computed") from error


def _new_bcrypt(password: bytes) -> str:
    import bcrypt

    if len(password) > BCRYPT_BYTES:
        raise UnusableHash(f"cannot be made: bcrypt looks at {BCRYPT_BYTES} bytes only, and the password is longer")
    return bcrypt.hashpw(password, bcrypt.gensalt(_NEW_BCRYPT)).decode()


def _verify_bcrypt(text: str, password: bytes) -> bool:
    import bcrypt

    return bcrypt.checkpw(password[:BCRYPT_BYTES], text.encode())


def _new_scrypt(password: bytes) -> str:
    salt = secrets.token_bytes(16)
    return _SCRYPT_TEXT.format(*_NEW_SCRYPT, _base64(salt), _base64(_scrypt(password, salt, *_NEW_SCRYPT, 32)))


def _verify_scrypt(text: str, password: bytes) -> bool:
    _, _, parameters, salt, digest = text.split("$")
    log_n, r, p = (int(part.partition("=")[2]) for part in parameters.split(","))
    wanted = b64decode(digest + "=" * (-len(digest) % 4))
    made = _scrypt(password, b64decode(salt + "=" * (-len(salt) % 4)), log_n, r, p, len(wanted))
    return compare_digest(made, wanted)


def _scrypt(password: bytes, salt: bytes, log_n: int, r: int, p: int, length: int) -> bytes:
    # Python's own limit is a signed 32-bit number; OpenSSL counts a little more than the 128·N·r bytes.
    return hashlib.scrypt(password, salt=salt, n=1 << log_n, r=r, p=p, maxmem=2**31 - 1, dklen=length)


_VERIFY: Final[dict[Algorithm, Callable[[str, bytes], bool]]] = {
    "argon2id": _verify_argon2,
    "bcrypt": _verify_bcrypt,
    "scrypt": _verify_scrypt,
}
_NEW: Final[dict[Algorithm, Callable[[bytes], str]]] = {
    "argon2id": _new_argon2,
    "bcrypt": _new_bcrypt,
    "scrypt": _new_scrypt,
}
