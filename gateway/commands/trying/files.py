"""What `gateway demo` keeps in its directory: keys, a user, tokens, and the environment for its configuration."""

import secrets
import shlex
from collections.abc import Mapping
from pathlib import Path

from gateway.commands.keeping.files import create_file
from gateway.commands.keeping.key_set import new_document
from gateway.commands.token import access_claims
from gateway.commands.trying.keys import read_signing_key, write_key_pair, write_new
from gateway.mechanisms.logins.hashes import new_hash
from gateway.mechanisms.logins.users_document import write_user
from gateway.tokens.signing import SigningKey

ISSUER = "https://issuer.demo.example"
SESSIONS_ISSUER = "https://gateway.demo.example"
AUDIENCE = "https://api.demo.example"
JWKS = "jwks.json"
KEYS = "keys.json"
USERS = "users"
STATE = "gateway.db"
ADMIN_TOKEN = "admin-token"  # noqa: S105 - the name of a file
_PRIVATE = "key.pem"
_HOUR = 3600
_EVERYTHING = "orders:read orders:write"
_FIELD = """\
# Prints a member of the JSON object on standard input: sh field access_token < answer
sed -n 's/.*"'"$1"'": *"\\([^"]*\\)".*/\\1/p'
"""


def prepare(directory: Path, environment: Mapping[str, str], now: int) -> str:
    """Make keys, or take those that are there, write new tokens, and return a new password of the user alice.

    Raises OSError, UnusableKey.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = _key(directory)
    _write(directory / ".gitignore", "*\n")
    _write(directory / "field", _FIELD)
    lines = (f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
    _write(directory / "environment", "".join(lines))
    for name, subject, scope, issued_at in (
        ("alice", "alice", _EVERYTHING, now),
        ("bob", "bob", "orders:read", now),
        ("expired", "alice", _EVERYTHING, now - 24 * _HOUR),
    ):
        claims = access_claims(ISSUER, AUDIENCE, subject, scope=scope, issued_at=issued_at, lifetime=12 * _HOUR)
        _write(directory / f"{name}.token", key.sign(claims, typ="at+jwt") + "\n")
    if not (directory / KEYS).exists():
        create_file(directory / KEYS, new_document("EdDSA", now))
    if not (directory / ADMIN_TOKEN).exists():
        _write(directory / ADMIN_TOKEN, secrets.token_urlsafe(32) + "\n")
    password = secrets.token_hex(8)
    user = write_user("alice", new_hash(password.encode(), "argon2id"), {"scope": _EVERYTHING})
    _write(directory / USERS, user + "\n")
    return password


def _key(directory: Path) -> SigningKey:
    private, jwks = directory / _PRIVATE, directory / JWKS
    if private.exists() and jwks.exists():
        return read_signing_key(private)
    return write_key_pair("EdDSA", private, jwks)


def _write(file: Path, text: str) -> None:
    file.unlink(missing_ok=True)
    write_new(file, text.encode(), mode=0o600)
