"""Hashes that cost little, made by the libraries themselves."""

import hashlib
import os
from base64 import b64encode

import bcrypt
from argon2.low_level import Type, hash_secret


def cheap_argon2(password: bytes, *, kib: int = 8, passes: int = 1, kind: Type = Type.ID) -> str:
    return hash_secret(password, os.urandom(16), passes, kib, 1, 32, kind).decode()


def cheap_bcrypt(password: bytes, prefix: bytes = b"2b") -> str:
    return bcrypt.hashpw(password, bcrypt.gensalt(4, b"2b")).decode().replace("$2b$", f"${prefix.decode()}$")


def cheap_scrypt(password: bytes, *, log_n: int = 4) -> str:
    salt = os.urandom(16)
    digest = hashlib.scrypt(password, salt=salt, n=1 << log_n, r=8, p=1, dklen=32)
    return f"$scrypt$ln={log_n},r=8,p=1${plain64(salt)}${plain64(digest)}"


def plain64(value: bytes) -> str:
    return b64encode(value).decode().rstrip("=")
