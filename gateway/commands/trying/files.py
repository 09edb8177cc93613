"""What `gateway demo` keeps in its directory: a key of its own, tokens, and the environment for its configuration."""

import shlex
from collections.abc import Mapping
from pathlib import Path

from gateway.commands.token import access_claims
from gateway.commands.trying.keys import read_signing_key, write_key_pair, write_new
from gateway.tokens.signing import SigningKey

ISSUER = "https://issuer.demo.example"
AUDIENCE = "https://api.demo.example"
JWKS = "jwks.json"
_PRIVATE = "key.pem"
_HOUR = 3600


def prepare(directory: Path, environment: Mapping[str, str], now: int) -> None:
    """Make a key, or take the one that is there, and write new tokens. Raises OSError, UnusableKey."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = _key(directory)
    _write(directory / ".gitignore", "*\n")
    lines = (f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
    _write(directory / "environment", "".join(lines))
    for name, subject, scope, issued_at in (
        ("alice", "alice", "orders:read orders:write", now),
        ("bob", "bob", "orders:read", now),
        ("expired", "alice", "orders:read orders:write", now - 24 * _HOUR),
    ):
        claims = access_claims(ISSUER, AUDIENCE, subject, scope=scope, issued_at=issued_at, lifetime=12 * _HOUR)
        _write(directory / f"{name}.token", key.sign(claims, typ="at+jwt") + "\n")


def _key(directory: Path) -> SigningKey:
    private, jwks = directory / _PRIVATE, directory / JWKS
    if private.exists() and jwks.exists():
        return read_signing_key(private)
    return write_key_pair("EdDSA", private, jwks)


def _write(file: Path, text: str) -> None:
    file.unlink(missing_ok=True)
    write_new(file, text.encode(), mode=0o600)
