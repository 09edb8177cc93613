"""Where the admin API of a gateway is, and what opens it."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.commands.asking.section import REACHED, UnreadableFile, content
from gateway.model.upstream import Address, TargetAddress, parse_address, parse_target


class NoDoor(Exception):
    """Nobody said where the admin API is, or how to open it. The message says what to do."""


@dataclass(frozen=True, slots=True)
class Door:
    """`place` is where it is, `token` what is shown there, `tls` what is known of certificates."""

    place: TargetAddress
    token: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = None

    @property
    def url(self) -> str:
        """Return what URLs begin with; for a Unix socket, too."""
        return f"{self.place.scheme}://{self.place.authority}"


def place_of(section: dict[str, Any], file: Path) -> TargetAddress:
    """Return where the section `admin` of a configuration puts the admin API. Raises NoDoor."""
    text = section.get("address", "127.0.0.1:9091")
    try:
        address = parse_address(str(text))
    except ValueError as error:
        raise NoDoor(f"{file}: admin.address: {error}") from error
    host = REACHED.get(address.host, address.host)
    return TargetAddress("https" if section.get("tls") else "http", Address(host, address.port, address.path))


def place_named(text: str) -> TargetAddress:
    """Return where a URL says that it is: `http://…`, `https://…` or `unix:/…`. Raises NoDoor."""
    try:
        return parse_target(text.removesuffix("/").removesuffix("/admin"))
    except ValueError as error:
        raise NoDoor(f"--admin: {error}") from error


def token_in(file: Path) -> str:
    """Return the first token of a file. Raises NoDoor."""
    try:
        lines = content(file).decode("ascii").split()
    except UnreadableFile as error:
        raise NoDoor(str(error)) from error
    except UnicodeDecodeError as error:
        raise NoDoor(f"{file}: holds no token: a letter of it is not ASCII") from error
    if not lines:
        raise NoDoor(f"{file}: holds no token")
    return lines[0]


def tls_context(ca: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext:
    """Return what a server's certificate is checked with, and the client's own. Raises NoDoor."""
    try:
        context = ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise NoDoor(f"{ca}: cannot be used: {error.strerror or error}") from error
    if certificate is not None:
        try:
            context.load_cert_chain(certificate, key)
        except OSError as error:
            names = f"{certificate}, {key}" if key is not None else str(certificate)
            raise NoDoor(f"{names}: cannot be used: {error.strerror or error}") from error
    return context
