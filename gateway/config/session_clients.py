"""The applications that may use the gateway's own endpoints."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from gateway.mechanisms.base import BadSetting
from gateway.mechanisms.logins.hashes import UnusableHash, read_hash
from gateway.model.scope import is_scope
from gateway.model.settings import FilePath, Settings

ClientId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""A `client_id`. It becomes a metric label."""


def _scope(value: str) -> str:
    if (value and not is_scope(value)) or len(set(value.split())) != len(value.split()):
        raise ValueError("is not a scope; write names with one space between them: orders:read orders:write")
    return value


Scope = Annotated[str, AfterValidator(_scope)]
"""RFC 6749 §3.3: names with one space between them, each once."""

_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")


def _secret_hash(value: str) -> str:
    if not _SHA256.fullmatch(value):
        try:
            read_hash(value)
        except UnusableHash as error:
            raise ValueError("is not sha256:<64 hex digits>, nor an argon2id, bcrypt or scrypt hash") from error
    return value


SecretHash = Annotated[str, AfterValidator(_secret_hash)]
"""`sha256:<hex>` of a random secret, or an argon2id, bcrypt or scrypt hash as in users files."""


def secret_hashes_in(content: bytes) -> tuple[str, ...]:
    """Return the hashes in a `secret_file`: one a line, empty lines and those with `#` aside. Raises ValueError."""
    lines = [line.strip() for line in content.decode("ascii").splitlines()]
    hashes = tuple(_secret_hash(line) for line in lines if line and not line.startswith("#"))
    if not hashes:
        raise ValueError("holds no hash")
    return hashes


def secret_hashes(name: str, client: "ClientSettings", read: Callable[[Path], bytes]) -> tuple[str, ...]:
    """Return all hashes of a client's secrets. `read` gives the content of a file. Raises BadSetting."""
    if client.secret_file is None:
        return client.secret_hashes
    try:
        return client.secret_hashes + secret_hashes_in(read(client.secret_file))
    except BadSetting as error:
        raise BadSetting(str(error), ("clients", name, "secret_file")) from error
    except ValueError as error:
        raise BadSetting(f"{client.secret_file}: {error}", ("clients", name, "secret_file")) from error


class MaySettings(Settings):
    """What a client may do beside using its own tokens."""

    introspect: bool = False
    """Ask what a token is worth (RFC 7662)."""
    open_sessions: bool = False
    """Open a session for a user it has authenticated itself: for any user, with any claims, of any client."""
    revoke: bool = True
    """Revoke its own tokens (RFC 7009)."""


class ClientSettings(Settings):
    """An application that uses the gateway's own endpoints (RFC 6749 §2)."""

    type: Literal["public", "confidential"]
    """`public`: it cannot keep a secret (a browser, a phone). `confidential`: it can, and must prove that it has it."""
    secret_hashes: Annotated[tuple[SecretHash, ...], Field(repr=False)] = ()
    """Hashes of its secrets: `sha256:<hex>` of a random secret of at least 32 characters, or an argon2id, bcrypt or
    scrypt hash as in users files. Several, so that a secret can be replaced without a gap."""
    secret_file: FilePath | None = None
    """A file with such hashes, one a line."""
    grants: frozenset[Literal["refresh_token"]] = frozenset({"refresh_token"})
    """The grants it may use. Without `refresh_token`, its logins give an access token only."""
    may: MaySettings = MaySettings()
    """What it may do beside using its own tokens."""
    audiences: frozenset[Annotated[str, Field(min_length=1)]] = frozenset()
    """The audiences whose access tokens it may introspect, as the resource server they name; its own tokens in
    any case."""
    scope: Scope | None = None
    """The most scope that its sessions get, and those that it opens for others; no such bound without it."""

    @model_validator(mode="after")
    def _secrets_fit_the_type(self) -> Self:
        has_secret = bool(self.secret_hashes) or self.secret_file is not None
        if self.type == "confidential" and not has_secret:
            raise ValueError("a confidential client needs secret_hashes or secret_file")
        if self.type == "public":
            if has_secret:
                raise ValueError("a public client has no secret; write type: confidential")
            for name in ("introspect", "open_sessions"):
                if getattr(self.may, name):
                    raise ValueError(f"a public client proves nothing, so it may not {name}")
        if self.audiences and not self.may.introspect:
            raise ValueError("audiences are for a client that may introspect; write may: {introspect: true}")
        return self
