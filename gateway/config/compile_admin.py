"""The section `admin` to what its files hold: digests of tokens, TLS."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256

from gateway.config.admin import Admin
from gateway.config.compile_listeners import ServerTls, listener_tls
from gateway.config.compile_sessions import Collect
from gateway.config.reuse import Workshop
from gateway.mechanisms.base import BadSetting


@dataclass(frozen=True, slots=True, eq=False)
class AdminFiles:
    """SHA-256 of the tokens for each role: of several while they are replaced. And the TLS of the listener."""

    tokens: Sequence[bytes] = field(default=(), repr=False)
    read_tokens: Sequence[bytes] = field(default=(), repr=False)
    tls: ServerTls | None = None


def build_admin_files(settings: Admin, workshop: Workshop, collect: Collect) -> AdminFiles:
    """Return what the files hold; some may be missing where there are mistakes."""
    resources = workshop.resources
    tokens: tuple[bytes, ...] = ()
    read_tokens: tuple[bytes, ...] = ()
    tls: ServerTls | None = None
    if settings.token_file is not None:
        with collect("admin", "token_file"):
            tokens = token_digests(resources.read(settings.token_file))
    if settings.read is not None and settings.read.token_file is not None:
        with collect("admin", "read", "token_file"):
            read_tokens = token_digests(resources.read(settings.read.token_file))
            if set(tokens) & set(read_tokens):
                raise BadSetting("holds a token that is also in admin.token_file: each has one role")
    if settings.tls is not None:
        with collect("admin", "tls"):
            tls = workshop.part(("admin", "tls"), settings.tls, partial(listener_tls, settings.tls, resources))
    return AdminFiles(tokens, read_tokens, tls)


def token_digests(content: bytes) -> tuple[bytes, ...]:
    """Return the SHA-256 of each token in a file. Raises ValueError for a weak one, and if there is none."""
    tokens = [line.strip() for line in content.splitlines() if line.strip()]
    if not tokens or any(len(token) < 32 or not token.isascii() or len(token.split()) != 1 for token in tokens):
        raise ValueError("does not hold a token: one word of at least 32 ASCII characters; or several, one a line")
    return tuple(sha256(token).digest() for token in tokens)
